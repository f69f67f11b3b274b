"""Which changes of a status are worth an event."""

from typing import Any

from exchange_operator.announcements import Announcement, announcements


def _status(**conditions: tuple[str, str, str]) -> dict[str, Any]:
    names = ("status", "reason", "message")
    return {"conditions": [{"type": kind, **dict(zip(names, what, strict=True))} for kind, what in conditions.items()]}


READY = ("True", "Ready", "the exchange serves")
FINE = ("False", "NothingWrong", "")
DONE = ("False", "Converged", "all is as wanted")


def _said(before: dict[str, Any], after: dict[str, Any]) -> list[Announcement]:
    return list(announcements(before, after))


def test_first_status_of_an_exchange_that_starts_tells_the_step_and_no_trouble() -> None:
    step = ("True", "RollingOut", "broker: 0 of 1 ready")
    after = _status(Ready=("False", "BrokerNotReady", "no broker"), Progressing=step, Degraded=FINE)
    assert _said({}, after) == [("Normal", "RollingOut", "broker: 0 of 1 ready")]


def test_step_is_told_once_whatever_is_counted_in_it() -> None:
    first = _status(Progressing=("True", "RollingOut", "broker: 0 of 2 ready"))
    second = _status(Progressing=("True", "RollingOut", "broker: 1 of 2 ready"))
    third = _status(Progressing=("True", "RollingOut", "database: 0 of 1 ready"))
    assert _said(first, second) == []
    assert _said(second, third) == [("Normal", "RollingOut", "database: 0 of 1 ready")]
    assert _said(third, _status(Progressing=DONE)) == [("Normal", "Converged", "all is as wanted")]


def test_ready_is_told_when_it_comes_and_when_it_goes() -> None:
    down = _status(Ready=("False", "MatcherNotReady", "demo-matcher: 0 of 1 ready"))
    other = _status(Ready=("False", "UbscoreNotReady", "demo-ubscore: 0 of 1 ready"))
    assert _said(down, _status(Ready=READY)) == [("Normal", "Ready", "the exchange serves")]
    assert _said(_status(Ready=READY), down) == [("Warning", "MatcherNotReady", "demo-matcher: 0 of 1 ready")]
    assert _said(down, other) == []


def test_trouble_is_a_warning_for_each_of_its_reasons_and_its_end_is_told() -> None:
    broken = _status(Degraded=("True", "Gateway", "no such image"))
    again = _status(Degraded=("True", "Gateway", "no such image; tried again"))
    other = _status(Degraded=("True", "Matcher", "crashes"))
    assert _said(_status(Degraded=FINE), broken) == [("Warning", "Gateway", "no such image")]
    assert _said(broken, again) == []
    assert _said(broken, other) == [("Warning", "Matcher", "crashes")]
    assert _said(broken, _status(Degraded=FINE)) == [("Normal", "Recovered", "what was wrong is well again")]


def test_same_status_is_no_news() -> None:
    status = _status(Ready=READY, Progressing=DONE, Degraded=("True", "Symbols", "…"))
    assert _said(status, status) == []
