"""What the shells tell of traces: nothing in the frames themselves, nothing by who keeps silent, and every failure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.adapters.ports import Append
from services.adapters.tracing.headers import FrameTraces, decode_traces, encode_traces
from services.adapters.tracing.otlp import Medium, ServiceTracing, Tracer, TracingSettings
from services.domain.errors import StoreUnavailable
from services.domain.messages import encode_frame
from services.domain.topics import BALANCE_EVENTS, TopicPartition
from services.settlement.service import settlement_shell
from tests.shell.test_projection_shell import HastyClock, run_to_end
from tests.support.aio import run_async
from tests.support.memory_log import MemoryLog
from tests.support.memory_store import MemoryStore
from tests.support.otlp import Receiver, tree
from tests.support.streams import Balances
from tests.support.ubscore_process import ACCEPTED, EVENTS, OPERATIONS, UbscoreProcess, fill, order

SENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MEDIUM = Medium("memory", "memory", "test")


class Traced:
    """A service's tracing, and what came out of it."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._tracer = Tracer(TracingSettings(receiver.url), "1", lambda _: None)

    def service(self, name: str) -> ServiceTracing:
        return self._tracer.service(name, 0, MEDIUM)

    def trees(self) -> dict[str, Any]:
        """All spans that have ended, as trees below the contexts that the frames came with; and those with none."""
        self._tracer.flush()
        spans = self.receiver.spans
        return {context: found for context in (SENT, OTHER, "") if (found := tree(spans, context[36:52]))}

    def close(self) -> None:
        self._tracer.close()


@pytest.fixture
def traced() -> Iterator[Traced]:
    with Receiver("grpc") as receiver:
        traced = Traced(receiver)
        yield traced
        traced.close()


async def traced_orders(log: MemoryLog) -> None:
    """Instruments and funds; then a frame of three orders, of which the first and the last are traced."""
    await fill(log, 0)
    headers = encode_traces(FrameTraces(SENT, {0: SENT, 2: OTHER}))
    frame = encode_frame("gateway-1", 0, [order(1), order(2), order(3)])
    await log.append([Append(OPERATIONS, frame, headers)])


BELOW = {"ubscore: process balance.operations": {"ubscore: publish balance.events": {}, "ubscore: publish orders": {}}}


@run_async
async def test_core_shell_tells_of_traced_records_and_says_the_same_bytes(tmp_path: Path, traced: Traced) -> None:
    plain, log = MemoryLog(), MemoryLog()
    for one in (plain, log):
        await traced_orders(one)
    await UbscoreProcess(plain, tmp_path / "a").run_until(2, plain)
    await UbscoreProcess(log, tmp_path / "b", tracing=traced.service("ubscore")).run_until(2, log)
    trees = traced.trees()
    assert trees[SENT] == trees[OTHER] == BELOW
    assert trees[""] == {"ubscore: send balance.events": {}, "ubscore: send orders": {}}
    for partition in (EVENTS, ACCEPTED):
        before, after = await plain.read(partition, 0), await log.read(partition, 0)
        assert [frame.data for frame in after] == [frame.data for frame in before]
        assert not any(frame.headers for frame in before)
    traces = decode_traces((await log.read(ACCEPTED, 0))[-1].headers)
    assert traces is not None
    assert {index: context[3:35] for index, context in traces.records.items()} == {0: SENT[3:35], 2: OTHER[3:35]}


@run_async
async def test_core_shell_replays_its_journal_without_a_word(tmp_path: Path, traced: Traced) -> None:
    log = MemoryLog()
    await traced_orders(log)
    process = UbscoreProcess(log, tmp_path)
    await process.shell.recover()
    frames = await log.read(OPERATIONS, 0)
    await process.shell._journal.append(frames)
    await process.shell._journal.flush()
    await process.directory.close()
    again = UbscoreProcess(log, tmp_path, tracing=traced.service("ubscore"))
    await again.run_until(2, log)
    assert again.shell.replayed_frames == 2
    assert len(await log.read(ACCEPTED, 0)) > 0
    assert traced.trees() == {}


@run_async
async def test_core_shell_silent_standby_tells_nothing(tmp_path: Path, traced: Traced) -> None:
    log = MemoryLog()
    await traced_orders(log)
    await UbscoreProcess(log, tmp_path / "a").run_until(2, log)
    standby = UbscoreProcess(log, tmp_path / "b", tracing=traced.service("ubscore"), standby=True)
    await standby.run_until(2, log)
    assert standby.shell.role == "standby"
    assert traced.trees() == {}


@run_async
async def test_core_shell_headers_that_say_nonsense_are_passed_over(tmp_path: Path, traced: Traced) -> None:
    log = MemoryLog()
    await fill(log, 0)
    beyond = encode_traces(FrameTraces(SENT, {0: SENT, 7: OTHER, -1: OTHER}))
    for headers in ((("traceparent", b"?"), ("exchange-traces", b"\xff")), beyond):
        await log.append([Append(OPERATIONS, encode_frame("gateway-1", 0, [order(len(headers[1][1]))]), headers)])
    await UbscoreProcess(log, tmp_path, tracing=traced.service("ubscore")).run_until(3, log)
    trees = traced.trees()
    assert trees[SENT] == BELOW
    assert trees[OTHER] == {"ubscore: process balance.operations": {}}


class ReluctantStore(MemoryStore):
    """Takes the third try."""

    tries = 0

    async def write_settlement(self, batch: Any) -> None:
        self.tries += 1
        if self.tries < 3:
            raise StoreUnavailable("nobody there")
        await super().write_settlement(batch)


@pytest.mark.parametrize("headers", [encode_traces(FrameTraces(SENT, {0: SENT})), ()], ids=["traced", "not traced"])
@run_async
async def test_projection_shell_each_failed_try_is_told(traced: Traced, headers: Any) -> None:
    log, store = MemoryLog(), ReluctantStore()
    frame = encode_frame("ubscore-0", 1, [Balances().deposit()])
    await log.append([Append(TopicPartition(BALANCE_EVENTS, 0), frame, headers)])
    shell = settlement_shell(0, log, store, HastyClock(), tracing=traced.service("settlement"))
    await run_to_end([shell], log)
    write = "settlement: INSERT balance_ledger user_balances settlement_progress"
    trees = traced.trees()
    if headers:
        assert trees[SENT] == {"settlement: process balance.events": {write: {}}}
    else:
        assert trees == {"": {write: {}}}
    tries = [span for span in traced.receiver.spans if span.kind == "CLIENT"]
    assert [span.failed for span in tries] == ([True, True, False] if headers else [True, True])
    assert tries[0].attributes["error.type"] == "StoreUnavailable"
