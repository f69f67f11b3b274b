"""`exchange log-level`: what running processes of this machine, or of this pod, write into their logs."""

import time
from typing import Annotated, Final

import msgspec
import typer

from services.adapters.logs.control import RESET, LevelAnswer, LevelRequest, ask, running_processes
from services.adapters.logs.levels import EVERYTHING, LEVELS, MAX_FOR_MS
from services.config.kinds import DURATION
from services.domain.errors import ConfigError, ExchangeError

DEFAULT_FOR: Final = "15m"


def log_level(
    level: Annotated[
        str | None,
        typer.Argument(help=f"{', '.join(LEVELS)}; or {RESET}, to go back to the settings'. Else only say."),
    ] = None,
    logger: Annotated[
        str, typer.Option(help="Only of this service, or of this library's logger.", show_default="everything")
    ] = EVERYTHING,
    duration: Annotated[str, typer.Option("--for", help="How long; then it falls back by itself.")] = DEFAULT_FOR,
    keep: Annotated[bool, typer.Option("--keep", help="Until the process ends, instead of --for.")] = False,
    pid: Annotated[int | None, typer.Option(help="Only this process; else every one that is here.")] = None,
) -> None:
    """Say or change the log levels of running processes, without a restart.

    The processes are those of this machine, or of this pod: `kubectl exec POD -- exchange log-level debug`. Who may
    is the processes' own user, and root.
    """
    request = LevelRequest(_level(level), logger, None if keep else _for_ms(duration))
    pids = running_processes() if pid is None else [pid]
    if not pids:
        raise ConfigError("no process of an exchange runs here: in a cluster, ask in its pod, with `kubectl exec`")
    answers = [_ask(one, request) for one in pids]
    for answer in answers:
        for line in _lines(answer):
            print(line)
    if wrong := next((answer.error for answer in answers if answer.error), ""):
        raise ExchangeError(wrong)


def _level(level: str | None) -> str:
    if level is not None and level != RESET and level not in LEVELS:
        raise ConfigError(f"level {level!r}: wants one of {', '.join((*LEVELS, RESET))}")
    return level or ""


def _for_ms(duration: str) -> int:
    try:
        for_ms: int = DURATION.parse(duration)
    except ValueError:
        raise ConfigError(f"--for {duration}: wants {DURATION.wants}") from None
    if for_ms > MAX_FOR_MS:
        raise ConfigError(f"--for {duration}: wants 7d at most; --keep is for as long as the process runs")
    return for_ms


def _ask(pid: int, request: LevelRequest) -> LevelAnswer:
    try:
        return ask(pid, request)
    except (OSError, msgspec.DecodeError) as error:
        return LevelAnswer("process", pid, error=f"process {pid} does not answer: {error}")


def _lines(answer: LevelAnswer) -> list[str]:
    return [
        f"{answer.process} ({answer.pid})  {level.logger or 'everything'}: {level.level}{_until(level.until_ms)}"
        for level in answer.levels
    ]


def _until(until_ms: int | None) -> str:
    if until_ms is None:
        return ""
    return time.strftime(" until %H:%M:%S UTC", time.gmtime(until_ms / 1000))
