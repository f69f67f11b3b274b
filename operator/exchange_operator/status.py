"""What a resource says of itself: conditions, components, symbols. Pure.

Three questions, three conditions, as other operators have them. Ready: does the exchange serve, whatever its version?
Progressing: is something on its way to what the resource wants? Degraded: is something wrong that waiting will not
mend? So an upgrade that goes well is Ready and Progressing, and one that stopped while the rest serves on is all three.
Who waits for an upgrade waits for Progressing to be False.

It serves when every shard of a core has a ready pod (its standby's counts), every other component has one, managed
brokers have a majority, and there is something to trade. Everything as wanted, with all its pods, is ComponentsReady.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from exchange_operator.actions import Observed, Plan
from exchange_operator.manifests import Desired
from exchange_operator.manifests.cores import CORES
from exchange_operator.manifests.settings import REST_PORT, STANDBY
from exchange_operator.names import COMPONENT, Manifest, host_name, key_of, object_name
from exchange_operator.readiness import Readiness, condition, count, pod_readiness, pods_of, readiness
from exchange_operator.resource import Exchange

_BROKER: Final = "broker"
_DATABASE: Final = "database"
_DEPENDENCIES: Final = (_BROKER, _DATABASE)
_JOBS: Final = ("topics", "schema")


class Symbols(NamedTuple):
    """What is known of the exchange's symbols.

    known: name and status of each, as the gateway said; None when it was not asked, or did not answer.
    why: what keeps them from being as wanted; empty when nothing does. broken: whether waiting does not help.
    """

    known: tuple[tuple[str, str], ...] | None = None
    why: str = ""
    broken: bool = False


class _Verdict(NamedTuple):
    status: bool
    reason: str
    message: str = ""


def build_status(
    exchange: Exchange,
    desired: Desired,
    observed: Observed,
    plan: Plan,
    symbols: Symbols,
    previous: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """The whole status. It equals `previous` when nothing has changed, whatever `now` is."""
    known = _known(exchange, symbols, previous)
    verdicts = _verdicts(exchange, desired, observed, plan, symbols, known)
    components = [
        _component(wanted, observed)
        for stage in desired.stages
        if stage.name not in _JOBS
        for wanted in stage.manifests
    ]
    gateway = next(one for one in components if one["name"] == "gateway")
    return {
        "observedGeneration": exchange.generation,
        "conditions": conditions(verdicts, exchange.generation, previous, now),
        "components": components,
        "symbols": known,
        "symbolCount": len(_wanted_names(exchange) & {one["name"] for one in known}),
        "gateway": f"{gateway['ready']}/{gateway['desired']}",
        "endpoints": {"rest": f"http://{host_name(exchange, object_name(exchange, 'gateway'))}:{REST_PORT}"},
    }


def failed_status(
    generation: int, reason: str, message: str, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The status when the resource itself cannot be, or the pass came to nothing: the rest stays as it was."""
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    ready = before.get("Ready", {})
    serves = ready.get("status") == "True"
    verdicts = {
        "Ready": _Verdict(True, ready["reason"], ready["message"]) if serves else _Verdict(False, reason, message),
        "Progressing": _Verdict(False, reason, message),
        "Degraded": _Verdict(True, reason, message),
    }
    kept = [dict(one) for kind, one in before.items() if kind not in verdicts]
    told = conditions(verdicts, generation, previous, now)
    return dict(previous) | {"observedGeneration": generation, "conditions": told + kept}


def conditions(
    verdicts: Mapping[str, tuple[bool, str, str]], generation: int, previous: Mapping[str, Any], now: datetime
) -> list[dict[str, Any]]:
    """As the API has them. verdicts: by type, whether it is so, in one word why, and in a sentence."""
    before = {one["type"]: one for one in previous.get("conditions") or ()}
    made = []
    for kind, (is_so, reason, message) in verdicts.items():
        status = "True" if is_so else "False"
        same = before.get(kind, {}).get("status") == status
        since = before[kind]["lastTransitionTime"] if same else now.strftime("%Y-%m-%dT%H:%M:%SZ")
        made.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return made


# Conditions


def _verdicts(
    exchange: Exchange,
    desired: Desired,
    observed: Observed,
    plan: Plan,
    symbols: Symbols,
    known: list[dict[str, str]],
) -> dict[str, _Verdict]:
    broker = _outside(_BROKER, "topics", desired, observed)
    schema = _outside(_DATABASE, "schema", desired, observed)
    ready = _ready(exchange, broker, schema, _serving(desired, observed), symbols, known)
    return {
        "Ready": _paused(ready) if exchange.paused else ready,
        "Progressing": _progressing(exchange, plan, symbols),
        "Degraded": _degraded(desired, observed, plan, symbols),
        "BrokerReady": broker,
        "SchemaReady": schema,
        "ComponentsReady": _components_ready(desired, observed),
        "SymbolsSynced": _Verdict(False, "NotSynced", symbols.why) if symbols.why else _Verdict(True, "Synced"),
    }


def _ready(
    exchange: Exchange,
    broker: _Verdict,
    schema: _Verdict,
    serving: _Verdict,
    symbols: Symbols,
    known: list[dict[str, str]],
) -> _Verdict:
    """What serves needs neither topics nor tables made anew; what does not is told what it lacks first."""
    if not serving.status:
        return next(one for one in (broker, schema, serving) if not one.status)
    wanted = _wanted_names(exchange)
    if wanted and not wanted & {one["name"] for one in known}:
        return _Verdict(False, "NothingToTrade", symbols.why or "none of its symbols is declared yet")
    return _Verdict(True, "Ready", "the exchange serves")


def _paused(ready: _Verdict) -> _Verdict:
    return ready._replace(reason="Paused", message=f"{ready.message}; while it is paused, nothing is changed")


def _progressing(exchange: Exchange, plan: Plan, symbols: Symbols) -> _Verdict:
    if exchange.paused:
        return _Verdict(False, "Paused", "spec.paused, or the annotation, says to change nothing")
    if plan.waiting_for:
        return _Verdict(True, "RollingOut", f"{plan.waiting_for}: {plan.reason}")
    if plan.actions:
        return _Verdict(True, "Applying", "objects are being made, changed or removed")
    if symbols.why and not symbols.broken:
        return _Verdict(True, "SyncingSymbols", symbols.why)
    return _Verdict(False, "Converged", "all is as the resource wants it")


def _degraded(desired: Desired, observed: Observed, plan: Plan, symbols: Symbols) -> _Verdict:
    if plan.broken:
        return _Verdict(True, _word(plan.waiting_for), plan.reason)
    for stage in desired.stages:
        for wanted in stage.manifests:
            state = _state(wanted, observed)
            if state is not None and state.broken:
                return _Verdict(True, _word(stage.name), state.why)
    if symbols.broken:
        return _Verdict(True, "Symbols", symbols.why)
    return _Verdict(False, "NothingWrong")


def _outside(managed: str, job: str, desired: Desired, observed: Observed) -> _Verdict:
    """Whether the broker, or the database, is there, and has what the exchange needs of it, at whatever version."""
    what, stages = _word(managed), {stage.name: stage.manifests for stage in desired.stages}
    for wanted in stages.get(managed, ()):
        pods = _state(wanted, observed)
        if pods is None or not pods.ready:
            return _Verdict(False, f"{what}NotReady", pods.why if pods else f"the {managed} is not there yet")
    (wanted,) = stages[job]
    state = _state(wanted, observed)
    if state is not None and state.ready:
        return _Verdict(True, f"{what}Ready", f"it answers, and the {job} are as wanted")
    if state is not None and state.broken:
        return _Verdict(False, f"{_word(job)}Failed", state.why)
    if any(_component_of(one) == job and _is_complete(one) for one in observed.objects.values()):
        return _Verdict(True, f"{what}Ready", f"it answered, and the {job} are as an earlier version wanted them")
    why = state.why if state is not None else f"the Job for the {job} waits for its turn"
    return _Verdict(False, f"{_word(job)}NotApplied", why)


def _serving(desired: Desired, observed: Observed) -> _Verdict:
    """Whether users have all that they need. A database that is away shows in those who write into it."""
    groups: dict[str, list[Manifest]] = {}
    for stage in desired.stages:
        if stage.name not in (*_JOBS, _DATABASE):
            groups.setdefault(stage.name.removesuffix(STANDBY), []).extend(stage.manifests)
    for name, wanted in groups.items():
        lack = _lack(name, wanted, observed)
        if lack:
            return _Verdict(False, f"{_word(name)}NotReady", lack)
    return _Verdict(True, "Serving")


def _lack(name: str, wanted: Iterable[Manifest], observed: Observed) -> str:
    """What keeps the workloads of a component from serving; empty when they do."""
    there = [live for one in wanted if (live := observed.objects.get(key_of(one))) is not None]
    if not there:
        return f"{name} is not there yet"
    reasons = [state.why for live in there if not (state := readiness(live, observed.pods)).ready]
    why = "; ".join(reasons) or f"{name} is being started"
    if name in CORES:
        shards = max(one["spec"]["replicas"] for one in wanted)
        lost = sorted(set(range(shards)) - set(_ready_shards(there, observed)))
        return f"nobody serves shard {lost[0]} of {name}: {why}" if lost else ""
    number = count(there[0])
    needed = number.desired // 2 + 1 if name == _BROKER else 1
    return why if number.ready < needed else ""


def _ready_shards(workloads: Iterable[Manifest], observed: Observed) -> Iterator[int]:
    for live in workloads:
        for pod in pods_of(live, observed.pods):
            if pod_readiness(pod).ready:
                yield int(pod["metadata"]["name"].rpartition("-")[2])


def _components_ready(desired: Desired, observed: Observed) -> _Verdict:
    for stage in desired.stages:
        if stage.name in (*_JOBS, *_DEPENDENCIES):
            continue
        for wanted in stage.manifests:
            state = _state(wanted, observed)
            if state is None or not state.ready:
                why = state.why if state else f"{stage.name} is not there yet"
                return _Verdict(False, f"{_word(stage.name)}NotReady", why)
    return _Verdict(True, "AllReady", "every component has all its pods, at the version that it is told")


def _state(wanted: Manifest, observed: Observed) -> Readiness | None:
    live = observed.objects.get(key_of(wanted))
    return readiness(live, observed.pods) if live is not None else None


def _is_complete(live: Manifest) -> bool:
    return live["kind"] == "Job" and condition(live, "Complete").get("status") == "True"


def _word(name: str) -> str:
    """As reasons are written: order-history -> OrderHistory."""
    return "".join(part.capitalize() for part in name.split("-"))


# Components and symbols


def _component(wanted: Manifest, observed: Observed) -> dict[str, Any]:
    live = observed.objects.get(key_of(wanted))
    template = (live or wanted)["spec"]["template"]["spec"]
    desired, ready = (count(live).desired, count(live).ready) if live else (wanted["spec"].get("replicas", 1), 0)
    image = template["containers"][0]["image"]
    return {"name": _component_of(wanted), "desired": desired, "ready": ready, "image": image}


def _known(exchange: Exchange, symbols: Symbols, previous: Mapping[str, Any]) -> list[dict[str, str]]:
    """The symbols that the resource names or named, as the gateway said last. Those of others are not ours to tell."""
    before = [dict(one) for one in previous.get("symbols") or ()]
    if symbols.known is None:
        return before
    ours = _wanted_names(exchange) | {one["name"] for one in before}
    return [{"name": name, "status": status} for name, status in symbols.known if name in ours]


def _wanted_names(exchange: Exchange) -> set[str]:
    return {symbol.name for symbol in exchange.spec.symbols}


def _component_of(live: Manifest) -> str:
    return str((live["metadata"].get("labels") or {}).get(COMPONENT, ""))
