"""What the rules are made of: they can be read, lead to a page each, and ask for numbers that exist."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from exchange_operator.metrics import Metrics as OperatorMetrics

from services.adapters.metrics.catalogue import CATALOGUE
from tests.alerts.rules import Fired, alerts, groups, judge
from tests.alerts.series import flat, metric, well
from tests.operator.chart import CHART
from tests.real.fetched import require_programs
from tests.support.processes import ROOT

RUNBOOKS: Final = ROOT / "docs" / "runbooks"
PAGES: Final = sorted(RUNBOOKS.glob("*.md"))
FILES: Final = sorted((CHART / "rules").glob("*.yaml"))
OTHERS: Final = {
    "up": "Prometheus itself",
    "process_start_time_seconds": "prometheus-client",
    "process_resident_memory_bytes": "prometheus-client",
    "kubelet_volume_stats_available_bytes": "the kubelet",
    "kubelet_volume_stats_capacity_bytes": "the kubelet",
}
"""Whose numbers they are that neither the exchange nor its operator shows."""
ANYWHERE: Final = 'namespace!=""'
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_RECORD: Final = re.compile(r"\bexchange:[\w:]+")
_SELECTOR: Final = re.compile(
    r"(?<![\w:])((?:exchange|kubelet|process)_\w+|up)(?:\{((?:[^}\"]|\"[^\"]*\")*)\})?(?=[^\w(:]|$)"
)
_PARTS: Final = ("_bucket", "_sum", "_count")


def shown() -> set[str]:
    """Every series that the exchange and its operator may show."""
    names = set()
    for family in CATALOGUE:
        histogram = family.kind == "histogram"
        names |= {family.shown_name + part for part in _PARTS} if histogram else {family.shown_name}
    for metric_family in OperatorMetrics("1").registry.collect():
        names |= {metric_family.name, f"{metric_family.name}_total"}
    return names


def labels_of(name: str) -> set[str]:
    """The labels of a metric of the exchange that are its own."""
    stem = name
    for part in _PARTS:
        stem = stem.removesuffix(part)
    (family,) = [family for family in CATALOGUE if family.shown_name in {name, stem}]
    return {*family.labels, "le"} if family.kind == "histogram" else set(family.labels)


def rules() -> list[dict[str, Any]]:
    return [rule for group in groups() for rule in group["rules"]]


def selectors(expr: str) -> list[tuple[str, str]]:
    """(name, matchers) of everything that an expression reads and no rule has recorded."""
    return [(name, matchers or "") for name, matchers in _SELECTOR.findall(expr)]


def recorded() -> list[str]:
    return [rule["record"] for rule in rules() if "record" in rule]


# The files


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_of_rules_is_read_by_promtool_as_it_is(file: Path) -> None:
    require_programs(("promtool",), ("prometheus",))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint-fatal", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_chart_has_every_rule_of_every_file_and_the_operators() -> None:
    of_files = [group for file in FILES for group in yaml.safe_load(file.read_text())["groups"]]
    assert [group for group in groups() if group["name"] != "exchange-operator"] == of_files


def test_runbooks_are_linked_where_the_values_say() -> None:
    links = [
        rule["annotations"]["runbook_url"]
        for group in groups("--set", "prometheusRule.runbooks=https://wiki.example/books/")
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len(links) == len(alerts())
    assert all(re.fullmatch(r"https://wiki\.example/books/\w+\.md", link) for link in links), links


def test_operator_of_named_namespaces_watches_no_exchange_of_others(tmp_path: Path) -> None:
    options = ("--set", "watch.namespaces={shop,market}")
    for rule in [rule for group in groups(*options)[1:] for rule in group["rules"]]:
        assert ANYWHERE not in rule["expr"]
        assert all('namespace=~"shop|market"' in matchers for _, matchers in selectors(rule["expr"]))
    series = well(20, namespace="shop") | well(20, namespace="theirs")
    series |= {metric("up", "matcher", namespace=one): flat(0, 20) for one in ("shop", "theirs")}
    fired = {"name": "demo", "job": "matcher", "pod": "demo-matcher-0", "reason": "does not answer"}
    judge(tmp_path, "ServiceDown", series, 10, [Fired(fired | {"namespace": "shop"})], options=options)


# Pages


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    for rule in alerts():
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        runbook = ROOT / rule["annotations"]["runbook_url"]
        assert runbook.read_text().startswith(f"# {rule['alert']}\n")


def test_every_page_is_about_an_alert() -> None:
    assert {page.stem for page in PAGES} == {rule["alert"] for rule in alerts()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_says_what_it_means_how_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert "\n## Look\n" in text or page.stem == "ExchangeDegraded"
    assert "```\n" in text, "how to look: commands, word for word"
    assert "what to do |" in text or "where to go on |" in text


# Names


def test_rules_read_only_numbers_that_somebody_shows() -> None:
    known = shown() | OTHERS.keys()
    for rule in rules():
        names = {name for name, _ in selectors(rule["expr"])}
        assert names <= known, f"{rule.get('alert') or rule['record']}: {names - known}"
        assert set(_RECORD.findall(rule["expr"])) <= set(recorded())


def test_rules_ask_for_labels_that_the_numbers_have() -> None:
    added = {"namespace", "job", "pod", "endpoint", "app_kubernetes_io_instance"}
    for rule in rules():
        for name, matchers in selectors(rule["expr"]):
            if name.startswith("exchange_") and not name.startswith("exchange_operator_"):
                asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", _STRING.sub('""', matchers)))
                assert asked <= labels_of(name) | added, f"{name}: {asked}"


def test_rules_about_exchanges_leave_room_for_the_namespaces_that_are_watched() -> None:
    for file in FILES:
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                assert all(ANYWHERE in matchers for _, matchers in selectors(rule["expr"])), rule["expr"]


def test_everything_that_is_recorded_is_used_by_an_alert() -> None:
    for name in recorded():
        assert any(name in _RECORD.findall(rule["expr"]) for rule in rules()), name
    assert len(set(recorded())) == len(recorded())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_names_only_numbers_that_exist(page: Path) -> None:
    text = page.read_text()
    assert set(_RECORD.findall(text)) <= set(recorded())
    known = shown() | {family.shown_name for family in CATALOGUE} | OTHERS.keys()
    names = set(re.findall(r"\b(?:exchange_[a-z_]+|kubelet_\w+|process_\w+)\b", text)) - {"exchange_job"}
    assert names <= known, names - known
    # Patterns of grep: exchange_(one|other)_total.
    for choices, end in re.findall(r"exchange_\(([^)]+)\)(\w*)", text):
        for choice in choices.split("|"):
            name = f"exchange_{choice}{end}"
            assert any(one.startswith(name) for one in known), name


def test_selectors_are_found() -> None:
    expr = 'sum by (job) (rate(exchange_records_total{source=~"a{2}", type="b"}[5m])) > 0 unless up == exchange:up:x'
    assert selectors(expr) == [("exchange_records_total", 'source=~"a{2}", type="b"'), ("up", "")]
