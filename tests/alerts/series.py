"""Series as Prometheus has them of an Exchange in a cluster, in promtool's words: one value each 15 s."""

from typing import Final

A_MINUTE: Final = 4
JOBS: Final = ("gateway", "ubscore", "matcher", "settlement", "order-history")


def labels(job: str, pod: str = "", name: str = "demo", namespace: str = "shop", **more: str) -> str:
    """What the operator's ServiceMonitor and Prometheus's operator add, and labels of the metric's own."""
    found = {
        "namespace": namespace,
        "app_kubernetes_io_instance": name,
        "job": job,
        "service": f"{name}-{job}",
        "pod": pod or f"{name}-{job}-0",
        "endpoint": "internal",
        **more,
    }
    return ",".join(f'{label}="{value}"' for label, value in found.items())


def metric(metric_name: str, job: str, pod: str = "", name: str = "demo", namespace: str = "shop", **more: str) -> str:
    """The name of a series, with all its labels."""
    return f"{metric_name}{{{labels(job, pod, name, namespace, **more)}}}"


def flat(value: float, minutes: float) -> str:
    """The same value for so long."""
    return f"{value:.12g}x{_samples(minutes) - 1}"


def rise(each: float, minutes: float, begin: float = 0) -> str:
    """So much more at each sample."""
    return f"{begin:.12g}{each:+.12g}x{_samples(minutes) - 1}"


def gone(minutes: float) -> str:
    """Not there: the target is gone, or no longer shows it."""
    missing = _samples(minutes) - 1
    return f"stale _x{missing}" if missing else "stale"


def absent(minutes: float) -> str:
    """Not there yet."""
    return f"_x{_samples(minutes)}"


def then(*parts: str) -> str:
    """One after the other."""
    return " ".join(parts)


def well(minutes: float, name: str = "demo", namespace: str = "shop", without: str = "") -> dict[str, str]:
    """All components of an Exchange are up, but one that is not there at all."""
    return {metric("up", job, name=name, namespace=namespace): flat(1, minutes) for job in JOBS if job != without}


def _samples(minutes: float) -> int:
    samples = round(minutes * A_MINUTE)
    assert samples >= 1
    return samples
