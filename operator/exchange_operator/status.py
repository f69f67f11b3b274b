"""What a resource says of itself: conditions, components, symbols. Pure.

Three questions, three conditions. Ready: does the exchange serve? Progressing: is something on its way to what the
resource wants? Degraded: is something wrong that will not get well by itself? So an upgrade that stopped is Ready,
Progressing and Degraded at one time, when the rest serves on.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from exchange_operator.actions import Observed, Plan
from exchange_operator.manifests import Desired, Stage
from exchange_operator.manifests.settings import STANDBY
from exchange_operator.names import COMPONENT, Key, Manifest, host_name, key_of, object_name
from exchange_operator.readiness import Readiness, condition, count, readiness
from exchange_operator.resource import Exchange

_DEPENDENCIES: Final = ("broker", "database")
_JOBS: Final = ("topics", "schema")
_REST_PORT: Final = 3001


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
    components = [_component(stage, observed) for stage in desired.stages if stage.name not in _JOBS]
    verdicts = _verdicts(exchange, desired, observed, plan, symbols)
    known = _known(symbols, previous)
    gateway = next(one for one in components if one["name"] == "gateway")
    return {
        "observedGeneration": exchange.generation,
        "conditions": conditions(verdicts, exchange.generation, previous, now),
        "components": components,
        "symbols": known,
        "symbolCount": len(known),
        "gateway": f"{gateway['ready']}/{gateway['desired']}",
        "endpoints": {"rest": f"http://{host_name(exchange, object_name(exchange, 'gateway'))}:{_REST_PORT}"},
    }


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


def _verdicts(
    exchange: Exchange, desired: Desired, observed: Observed, plan: Plan, symbols: Symbols
) -> dict[str, _Verdict]:
    stages = {stage.name: stage for stage in desired.stages}
    broker = _outside(stages, "broker", "topics", observed)
    schema = _outside(stages, "database", "schema", observed)
    components = _all_serve(desired, observed)
    synced = _Verdict(False, "NotSynced", symbols.why) if symbols.why else _Verdict(True, "Synced")
    return {
        "Ready": _ready(broker, schema, _all_serve(desired, observed, STANDBY), synced, symbols),
        "Progressing": _progressing(exchange, plan, symbols),
        "Degraded": _degraded(desired, observed, plan, symbols),
        "BrokerReady": broker,
        "SchemaReady": schema,
        "ComponentsReady": components,
        "SymbolsSynced": synced,
    }


def _ready(broker: _Verdict, schema: _Verdict, serving: _Verdict, synced: _Verdict, symbols: Symbols) -> _Verdict:
    """Whether orders are taken and settled. What serves needs neither a standby nor topics and tables made anew.

    What never served is told what it lacks first.
    """
    if serving.status and (synced.status or symbols.broken):
        return _Verdict(True, "Ready", "the exchange serves")
    first = next((one for one in (broker, schema, serving, synced) if not one.status), synced)
    return _Verdict(False, first.reason, first.message)


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


def _outside(stages: Mapping[str, Stage], managed: str, job: str, observed: Observed) -> _Verdict:
    """Whether the broker, or the database, is there, and what the exchange needs of it was made at least once."""
    what = {"broker": "Broker", "database": "Database"}[managed]
    if managed in stages:
        pods = _serves(stages[managed], observed)
        if not pods.status:
            return _Verdict(False, f"{what}NotReady", pods.message)
    (wanted,) = stages[job].manifests
    state = _state(wanted, observed)
    if state is not None and (state.ready or state.broken):
        word = f"{what}Ready" if state.ready else f"{_word(job)}Failed"
        return _Verdict(state.ready, word, state.why)
    if any(_component_of(one) == job and _is_complete(one) for one in observed.objects.values()):
        return _Verdict(True, f"{what}Ready", "as an earlier version wanted it")
    return _Verdict(False, f"{_word(job)}NotApplied", state.why if state is not None else f"the {job} wait for others")


def _is_complete(live: Manifest) -> bool:
    return live["kind"] == "Job" and condition(live, "Complete").get("status") == "True"


def _all_serve(desired: Desired, observed: Observed, apart_from: str = "-") -> _Verdict:
    """apart_from: how the names of those end that do not matter."""
    for stage in desired.stages:
        if stage.name not in (*_JOBS, *_DEPENDENCIES) and not stage.name.endswith(apart_from):
            found = _serves(stage, observed)
            if not found.status:
                return found
    return _Verdict(True, "AllServe", "every component has the pods that it should have")


def _serves(stage: Stage, observed: Observed) -> _Verdict:
    """Whether there are as many ready pods as there should be, of whatever version."""
    for wanted in stage.manifests:
        live = observed.objects.get(key_of(wanted))
        word = f"{_word(stage.name)}NotReady"
        if live is None:
            return _Verdict(False, word, f"{stage.name} is not there yet")
        number = count(live)
        if number.desired == 0 or number.ready < number.desired:
            why = readiness(live, observed.pods).why
            return _Verdict(False, word, why or f"{stage.name}: {number.ready} of {number.desired} ready")
    return _Verdict(True, _word(stage.name))


def _state(wanted: Manifest, observed: Observed) -> Readiness | None:
    live = observed.objects.get(key_of(wanted))
    return readiness(live, observed.pods) if live is not None else None


def _component(stage: Stage, observed: Observed) -> dict[str, Any]:
    """Of a stage with one workload."""
    (wanted,) = stage.manifests
    live: Manifest | None = observed.objects.get(Key(wanted["kind"], wanted["metadata"]["name"]))
    template = (live or wanted)["spec"]["template"]["spec"]
    desired, ready = (count(live).desired, count(live).ready) if live else (wanted["spec"].get("replicas", 1), 0)
    image = template["containers"][0]["image"]
    return {"name": _component_of(wanted), "desired": desired, "ready": ready, "image": image}


def _known(symbols: Symbols, previous: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the gateway said last."""
    if symbols.known is None:
        return [dict(one) for one in previous.get("symbols") or ()]
    return [{"name": name, "status": status} for name, status in symbols.known]


def _component_of(live: Manifest) -> str:
    return str((live["metadata"].get("labels") or {}).get(COMPONENT, ""))


def _word(name: str) -> str:
    """As reasons are written: order-history -> OrderHistory."""
    return "".join(part.capitalize() for part in name.split("-"))


def failed_status(
    generation: int, reason: str, message: str, previous: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The status when the resource itself cannot be, or the pass came to nothing: the rest stays as it was."""
    kept = [one for one in previous.get("conditions") or () if one["type"] not in ("Ready", "Progressing", "Degraded")]
    ready = next((one for one in previous.get("conditions") or () if one["type"] == "Ready"), None)
    is_ready = ready is not None and ready["status"] == "True"
    verdicts = {
        "Ready": _Verdict(is_ready, ready["reason"] if is_ready and ready else reason, message),
        "Progressing": _Verdict(False, reason, message),
        "Degraded": _Verdict(True, reason, message),
    }
    made = conditions(verdicts, generation, previous, now) + list(_dicts(kept))
    return dict(previous) | {"observedGeneration": generation, "conditions": made}


def _dicts(many: list[Any]) -> Iterator[dict[str, Any]]:
    yield from (dict(one) for one in many)
