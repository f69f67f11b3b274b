"""One pass over one exchange: look, decide, do, look again, say what has become of it. `passes` calls it in threads.

Hardly anything that a pass decides rests on what an earlier one remembered: the operator may end at any point, and the
next one goes on from what it finds. What is remembered tells repairs from first starts, and for how long a deletion
has waited.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, Literal, assert_never

import msgspec

from exchange_operator.actions import Action, Apply, CreateKeys, Delete, DeletePod, GrowVolume, Observed, Plan
from exchange_operator.announcements import announcements
from exchange_operator.cluster import Cluster
from exchange_operator.deletion import DeletionPlan, Progress, plan_deletion
from exchange_operator.kubernetes_api import ClusterError, ClusterUnavailable, Refused
from exchange_operator.manifests import Desired, desired
from exchange_operator.metrics import Metrics
from exchange_operator.names import Key, Manifest, key_of
from exchange_operator.ownership import is_going
from exchange_operator.passes import LOOK_AGAIN_SECONDS, Outcome, Stopping
from exchange_operator.plan import plan
from exchange_operator.resource import Exchange, parse
from exchange_operator.status import Symbols, build_status, conditions, failed_status
from exchange_operator.symbol_sync import SymbolSync
from services.adapters.logs.logs import ServiceLog

GO_ON_SECONDS: Final = 0.0
"""While there is more to do."""
WAIT_SECONDS: Final = 5.0
"""While something is waited for that no watch may tell of, such as why a pod does not start."""
TEAR_DOWN_SECONDS: Final = 2.0
"""While pods end."""


class Reconciler:
    """Passes over all exchanges. Of one exchange, there is one at a time; see `passes`. now: the time, in UTC."""

    def __init__(
        self,
        cluster: Cluster,
        symbols: SymbolSync,
        metrics: Metrics,
        lines: ServiceLog,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._cluster = cluster
        self._symbols = symbols
        self._metrics = metrics
        self._lines = lines
        self._now = now
        self._seen: dict[str, frozenset[Key]] = {}
        self._progress: dict[str, Progress] = {}

    def run(self, namespace: str, name: str, stopping: Stopping) -> Outcome:
        """One pass. Raises what it failed with; the resource tells of it too, when the cluster can be told."""
        resource = self._cluster.exchange(namespace, name)
        if resource is None:
            return Outcome("gone", gone=True)
        try:
            return self._pass(resource, stopping)._replace(version=resource["metadata"]["resourceVersion"])
        except ClusterUnavailable:
            raise
        except Exception as error:
            reason = "Refused" if isinstance(error, ClusterError) else "OperatorError"
            with suppress(ClusterError):
                self._fail(resource, reason, str(error) or type(error).__name__)
            raise

    def _pass(self, resource: Manifest, stopping: Stopping) -> Outcome:
        try:
            exchange = parse(resource)
        except msgspec.ValidationError as error:
            # The API server checks it by the CRD, so that this one is of another version than the operator.
            self._fail(resource, "InvalidSpec", f"spec: {error}; correct it, or install the operator's own CRD")
            return Outcome("invalid", gone=is_going(resource))
        if is_going(resource):
            return self._tear_down(exchange, resource, stopping)
        return self._keep(exchange, resource, stopping)

    # An exchange that there should be

    def _keep(self, exchange: Exchange, resource: Manifest, stopping: Stopping) -> Outcome:
        wanted = desired(exchange, self._cluster.capabilities())
        keys = frozenset(_keys(wanted))
        observed = self._cluster.observe(exchange, keys)
        planned = plan(exchange, wanted, observed, self._now())
        problems, is_stuck = [], False
        if planned.actions and not exchange.paused:
            problems, done = self._execute(exchange, planned.actions, observed, stopping), planned.actions
            observed = self._cluster.observe(exchange, keys)
            planned = plan(exchange, wanted, observed, self._now())
            is_stuck = planned.actions == done and not stopping()
            if is_stuck and not problems:
                problems = [f"{_said(action)} ({_why(action)}) comes to nothing" for action in done]
        declared = [one["name"] for one in resource.get("status", {}).get("symbols", ())]
        symbols = self._symbols.sync(exchange, observed, declared, stopping)
        self._seen[exchange.uid] = frozenset(key for key, one in observed.objects.items() if not is_going(one))
        previous, now = resource.get("status", {}), self._now()
        status = build_status(exchange, wanted, observed, planned, symbols, previous, now)
        if problems:
            status = _degraded(status, "; ".join(problems), exchange, previous, now)
        self._put_status(resource, status)
        result, again_seconds = _result(exchange, planned, symbols, bool(problems), is_stuck)
        return Outcome(result, again_seconds, conditions=_are_true(status))

    def _execute(
        self, exchange: Exchange, actions: Iterable[Action], observed: Observed, stopping: Stopping
    ) -> list[str]:
        """Do all, one after the other. Returns why volumes cannot grow: nothing else depends on that."""
        refused = []
        for action in actions:
            if stopping():
                break
            try:
                self._cluster.execute(exchange, action, observed)
            except Refused as error:
                if not isinstance(action, GrowVolume):
                    raise
                refused.append(str(error))
            else:
                self._lines.info("done", exchange=_place(exchange), action=_said(action), why=_why(action))
                self._count(exchange, action, observed)
        return refused

    def _count(self, exchange: Exchange, action: Action, observed: Observed) -> None:
        """Count what somebody else changed, or deleted since it was seen."""
        if isinstance(action, Apply):
            key = key_of(action.manifest)
            is_deleted = key not in observed.objects and key in self._seen.get(exchange.uid, ())
            if action.drift or is_deleted:
                self._metrics.drift_corrected(key.kind)

    # An exchange that goes

    def _tear_down(self, exchange: Exchange, resource: Manifest, stopping: Stopping) -> Outcome:
        observed = self._cluster.observe(exchange, ())
        planned = plan_deletion(exchange, observed, self._now(), self._progress.get(exchange.uid))
        # Before anything is done: what fails again and again must not keep a step from being given up.
        self._progress[exchange.uid] = planned.progress
        if planned.done:
            return self._let_go(exchange, resource, planned, observed)
        self._execute(exchange, planned.actions, observed, stopping)
        previous = resource.get("status", {})
        verdicts = {
            "Ready": (False, "Deleting", planned.message),
            "Progressing": (True, "Deleting", planned.message),
        }
        told = conditions(verdicts, exchange.generation, previous, self._now())
        kept = [one for one in previous.get("conditions", ()) if one["type"] not in verdicts]
        status = {**previous, "observedGeneration": exchange.generation, "conditions": [*told, *kept]}
        self._put_status(resource, status)
        return Outcome("deleting", TEAR_DOWN_SECONDS, conditions=_are_true(status))

    def _let_go(self, exchange: Exchange, resource: Manifest, planned: DeletionPlan, observed: Observed) -> Outcome:
        """The last step. What the cluster refuses to delete stays: it would hold the resource for ever."""
        left = [planned.message] if planned.message else []
        for action in planned.actions:
            try:
                self._execute(exchange, [action], observed, lambda: False)
            except Refused as error:
                left.append(str(error))
        self._symbols.forget(exchange)
        self._seen.pop(exchange.uid, None)
        self._progress.pop(exchange.uid, None)
        if left:
            self._post(resource, "Warning", "LeftBehind", "; ".join(left))
        return Outcome("deleted", gone=True)

    # What is told

    def _fail(self, resource: Manifest, reason: str, message: str) -> None:
        generation, previous = resource["metadata"]["generation"], resource.get("status", {})
        self._put_status(resource, failed_status(generation, reason, message, previous, self._now()))

    def _put_status(self, resource: Manifest, status: Manifest) -> None:
        if self._cluster.put_status(resource, status):
            for one in announcements(resource.get("status", {}), status):
                self._post(resource, *one)

    def _post(self, resource: Manifest, kind: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Events are a help; everything goes on without them."""
        try:
            self._cluster.post_event(resource, kind, reason, message)
        except ClusterError as error:
            self._lines.warning("event_lost", reason=reason, error=str(error))


def _keys(wanted: Desired) -> Iterator[Key]:
    for one in (*wanted.foundation, *(one for stage in wanted.stages for one in stage.manifests)):
        yield key_of(one)


def _result(
    exchange: Exchange, planned: Plan, symbols: Symbols, has_problems: bool, is_stuck: bool
) -> tuple[str, float]:
    """In one word, and after how many seconds to look again."""
    if exchange.paused:
        return "paused", LOOK_AGAIN_SECONDS
    if any(not isinstance(action, GrowVolume) for action in planned.actions):
        return ("degraded", LOOK_AGAIN_SECONDS) if is_stuck else ("going_on", GO_ON_SECONDS)
    if planned.waiting_for or (symbols.why and not symbols.broken):
        return "waiting", WAIT_SECONDS
    if has_problems or symbols.broken:
        return "degraded", LOOK_AGAIN_SECONDS
    return "converged", LOOK_AGAIN_SECONDS


def _degraded(
    status: Manifest, message: str, exchange: Exchange, previous: Mapping[str, object], now: datetime
) -> Manifest:
    """The status with what could not be done, unless it tells of worse."""
    (told,) = conditions({"Degraded": (True, "Refused", message)}, exchange.generation, previous, now)
    replaced = {("Degraded", "False"): told}
    return {**status, "conditions": [replaced.get((one["type"], one["status"]), one) for one in status["conditions"]]}


def _are_true(status: Manifest) -> dict[str, bool]:
    return {one["type"]: one["status"] == "True" for one in status["conditions"]}


def _place(exchange: Exchange) -> str:
    return f"{exchange.namespace}/{exchange.name}"


def _said(action: Action) -> str:
    """For people."""
    match action:
        case Apply(manifest):
            return f"apply {manifest['kind']} {manifest['metadata']['name']}"
        case Delete(key):
            return f"delete {key.kind} {key.name}"
        case DeletePod(name):
            return f"delete Pod {name}"
        case CreateKeys(name):
            return f"create Secret {name}"
        case GrowVolume(claim, size):
            return f"grow PersistentVolumeClaim {claim} to {size}"
        case _:
            assert_never(action)


def _why(action: Action) -> str:
    match action:
        case CreateKeys():
            return "it is missing"
        case GrowVolume():
            return "it is smaller than wanted"
        case _:
            return action.why
