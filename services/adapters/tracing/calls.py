"""The reads that a gateway makes for a request, told to the request's trace when they are over."""

from services.adapters.store_calls import CallWatch
from services.adapters.tracing.port import CURRENT_REQUEST


def traced(watch: CallWatch, core: str = "") -> CallWatch:
    """Tells `watch`, and the request on whose behalf a call was made. core: which one was asked; empty: the store."""

    def over(name: str, seconds: float, error: str = "") -> None:
        watch(name, seconds, error)
        request = CURRENT_REQUEST.get()
        if request is not None and not request.is_over:
            request.called(name, seconds, error, core)

    return over
