"""Make an exchange's assets and symbols those of its resource, through its gateway. `reconcile` calls it."""

import threading
from collections.abc import Callable, Collection
from typing import Final

from exchange_operator.actions import Observed
from exchange_operator.cluster import Cluster
from exchange_operator.gateway_api import GatewayApi, GatewayError, GatewayRefused, GatewayUnavailable
from exchange_operator.kubernetes_api import ClusterError, ClusterUnavailable
from exchange_operator.manifests.settings import REST_PORT
from exchange_operator.names import Key, host_name, object_name
from exchange_operator.readiness import count
from exchange_operator.resource import Exchange
from exchange_operator.status import Symbols
from exchange_operator.symbols import SymbolsPlan, plan_symbols
from services.adapters.logs.logs import ServiceLog

_MAX_TOLD: Final = 3


def service_url(exchange: Exchange) -> str:
    """Where an exchange's gateways are reached from within the cluster."""
    return f"http://{host_name(exchange, object_name(exchange, 'gateway'))}:{REST_PORT}"


class SymbolSync:
    """Of all exchanges. url_of: where an exchange's gateways are reached."""

    def __init__(self, cluster: Cluster, lines: ServiceLog, url_of: Callable[[Exchange], str] = service_url) -> None:
        self._cluster = cluster
        self._lines = lines
        self._url_of = url_of
        self._lock = threading.Lock()
        self._gateways: dict[str, GatewayApi] = {}

    def sync(
        self, exchange: Exchange, observed: Observed, declared: Collection[str], stopping: Callable[[], bool]
    ) -> Symbols:
        """Declare and change what differs, unless the exchange is paused, and tell what there is then.

        declared: the symbols that the resource named before. Those of others are left alone.
        """
        gateway = observed.objects.get(Key("Deployment", object_name(exchange, "gateway")))
        if gateway is None or count(gateway).ready == 0:
            return Symbols(why="no gateway is ready yet")
        api = self._gateway(exchange)
        try:
            planned = plan_symbols(exchange, api.instruments(), declared)
            problems = list(planned.problems)
            if planned.calls and not exchange.paused:
                problems += self._call(exchange, api, planned, stopping)
                planned = plan_symbols(exchange, api.instruments(), declared)
        except (GatewayUnavailable, ClusterUnavailable) as error:
            return Symbols(why=str(error))
        except (GatewayError, ClusterError) as error:
            return Symbols(why=str(error), broken=True)
        return _told(planned, problems)

    def forget(self, exchange: Exchange) -> None:
        """Give up the connections to an exchange that is being deleted."""
        with self._lock:
            api = self._gateways.pop(exchange.uid, None)
        if api is not None:
            api.close()

    def close(self) -> None:
        """Give up all connections."""
        for api in self._gateways.values():
            api.close()

    def _gateway(self, exchange: Exchange) -> GatewayApi:
        with self._lock:
            api = self._gateways.get(exchange.uid)
            if api is None:
                api = GatewayApi(self._url_of(exchange), lambda: self._cluster.admin_key(exchange))
                self._gateways[exchange.uid] = api
            return api

    def _call(
        self, exchange: Exchange, api: GatewayApi, planned: SymbolsPlan, stopping: Callable[[], bool]
    ) -> list[str]:
        """Make the calls; returns what was refused. One that is refused does not keep the others from being made."""
        refused = []
        for call in planned.calls:
            if stopping():
                break
            try:
                api.put(call.path, call.body)
            except GatewayRefused as error:
                refused.append(str(error))
            else:
                place = f"{exchange.namespace}/{exchange.name}"
                self._lines.info("instrument_set", exchange=place, path=call.path, **call.body)
        return refused


def _told(planned: SymbolsPlan, problems: list[str]) -> Symbols:
    """What is declared by now, and what is not as wanted. problems: those that waiting does not mend."""
    if problems:
        return Symbols(planned.known, _first("; ", problems), broken=True)
    if planned.calls:
        names = [call.path.rpartition("/")[2] for call in planned.calls]
        return Symbols(planned.known, f"not as wanted yet: {_first(', ', names)}")
    return Symbols(planned.known)


def _first(separator: str, texts: list[str]) -> str:
    more = f" (and {len(texts) - _MAX_TOLD} more)" if len(texts) > _MAX_TOLD else ""
    return separator.join(texts[:_MAX_TOLD]) + more
