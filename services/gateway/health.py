"""Whether the process lives, whether the exchange can be used, and its numbers."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.answers import HealthAnswer, answer
from services.gateway.calls import Call
from services.gateway.gateway import Gateway
from services.shell.projection_shell import RUNNING


class HealthCalls:
    """GET /health/live, /health/ready and /metrics."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def calls(self) -> list[Call]:
        return [
            Call("GET", "/health/live", self.live, "health", "Does the process live?", HealthAnswer),
            Call(
                "GET", "/health/ready", self.ready, "health", "Can the exchange be used?", HealthAnswer, refusals=(503,)
            ),
            Call("GET", "/metrics", self.metrics, "health", "Prometheus metrics", str),
        ]

    async def live(self, request: Request) -> Response:
        """200 as long as the event loop turns."""
        return answer(HealthAnswer("live", {}))

    async def ready(self, request: Request) -> Response:
        """200 when every component runs and answers are being read; else 503, with who is not and why."""
        components = await components_of(self._gateway)
        good = all(state == RUNNING for state in components.values())
        return answer(HealthAnswer("ready" if good else "not ready", components), 200 if good else 503)

    async def metrics(self, request: Request) -> Response:
        """Numbers of all services of this process, in Prometheus' text format."""
        return Response(generate_latest(self._gateway.deps.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def components_of(gateway: Gateway) -> dict[str, str]:
    """The state of each part of this process; RUNNING is good."""
    components = dict(gateway.deps.health())
    lags = await gateway.tracker.lags()
    components["gateway outcomes"] = "; ".join(f"{name} {problem}" for name, problem in lags.items()) or RUNNING
    return components
