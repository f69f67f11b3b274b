import pytest

from tests.dashboards.units import written


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.000025, "s", "25 µs"),
        (0.0123, "s", "12.3 ms"),
        (90.0, "s", "1.5 min"),
        (123_456.0, "short", "123 K"),
        (7.0, "short", "7"),
        (0.25, "cps", "0.25 /s"),
        (-0.5, "cps", "-0.5 /s"),
        (1_536.0, "bytes", "1.5 KiB"),
        (0.051, "percentunit", "5.1%"),
        (12.0, "suffix: frames", "12 frames"),
        (2_500_000.0, "suffix: records", "2.5 Mil records"),
    ],
)
def test_numbers_are_written_as_grafana_writes_them(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text
