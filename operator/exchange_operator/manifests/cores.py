"""The cores, ubscore and matcher: one pod a shard, each with its volume, and where asked for a standby of each."""

from typing import Final

from exchange_operator.manifests import pods, workloads
from exchange_operator.manifests.connections import INTERNAL_PORT
from exchange_operator.manifests.quantities import resources
from exchange_operator.manifests.settings import STANDBY, settings_of
from exchange_operator.names import Manifest
from exchange_operator.resource import Exchange, Matcher, Ubscore

UBSCORE: Final = "ubscore"
MATCHER: Final = "matcher"
CORES: Final = (UBSCORE, MATCHER)


def components(exchange: Exchange, core: str) -> tuple[str, ...]:
    """What there is of a core, in the order of an upgrade: whoever takes over is the first to be new."""
    return (f"{core}{STANDBY}", core) if _core(exchange, core).standby else (core,)


def stateful_set(exchange: Exchange, component: str) -> Manifest:
    """The shards of a core, or their standbys."""
    name = component.removesuffix(STANDBY)
    core, settings = _core(exchange, name), settings_of(exchange, name)
    arguments = [name, "--standby"] if component != name else [name]
    asked = resources(core.resources, cpu="250m", memory="512Mi")
    container = pods.service(pods.program(exchange, component, arguments, settings, asked))
    container["env"] += [pods.MEMBER, {"name": "DATA_DIR", "value": pods.DATA}]
    container["volumeMounts"].append({"name": "data", "mountPath": pods.DATA})
    template = pods.template(
        exchange,
        component,
        container,
        pods.volumes(settings),
        affinity=pods.apart_from_twin(exchange, component),
        # The standby's name also where there is none: to get one does not restart the core.
        topologySpreadConstraints=pods.spread(exchange, name, name + STANDBY),
    )
    volume = workloads.volume_of_each(exchange, component, core.storage, core.storage_class_name)
    return workloads.stateful_set(exchange, component, core.shards, template, **volume)


def surroundings(exchange: Exchange) -> tuple[Manifest, ...]:
    """Headless Services, and a PodDisruptionBudget for a core with its standbys: never both are taken."""
    found = []
    for core in CORES:
        all_of_it = components(exchange, core)
        found += [workloads.headless(exchange, component, internal=INTERNAL_PORT) for component in all_of_it]
        found.append(workloads.disruption_budget(exchange, core, *(one for one in all_of_it if one != core)))
    return tuple(found)


def _core(exchange: Exchange, core: str) -> Ubscore | Matcher:
    return exchange.spec.ubscore if core == UBSCORE else exchange.spec.matcher
