"""What drives the cores of the distributed form as a gateway would, over the log alone: commands in, events back."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Self

import msgspec

from services.adapters.kafka.log import KafkaLog
from services.adapters.kafka.settings import KafkaSettings
from services.adapters.ports import Append
from services.domain.instruments import SymbolSettings
from services.domain.messages import (
    CreateUser,
    OrderAccepted,
    PlaceOrder,
    SetAsset,
    SetPolicy,
    SetSymbol,
    TradeSettled,
    TransferIn,
    decode_frame,
    decode_header,
    encode_frame,
)
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import BALANCE_EVENTS, BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition

OPERATIONS: Final = TopicPartition(BALANCE_OPERATIONS, 0)
EVENTS: Final = TopicPartition(BALANCE_EVENTS, 0)
PARTITIONS: Final = (OPERATIONS, EVENTS, TopicPartition(ORDERS, 0), TopicPartition(ENGINE_OUTPUTS, 0))
AHEAD_FRAMES: Final = 16
"""How far the generator may be ahead of the answers: a gateway's bound on what is in flight."""
_DAY_MS: Final = 86_400_000
_QUIET_S: Final = 0.5
_POLL_S: Final = 0.01
_ORDER_EVENTS: Final = frozenset({1, 2, 4, 5})
"""Tags of OrderAccepted, OrderRejected, CancelAccepted and CommandRejected: the first answers to a command."""


class Load:
    """A writer of commands and a reader of balance.events."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.log = KafkaLog(settings)
        self.answered = 0
        """The highest request id that was answered."""
        self.trades = 0
        self._on_event: Callable[[Any], None] | None = None
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self.log.close()

    async def prepare(self, users: int) -> None:
        """Instruments, and users with enough of everything."""
        symbol = SymbolSettings("BTC_USDT", "BTC", "USDT", "0.01", "0.00001", "0", 1_000, 1_000)
        await self._send([SetAsset(0, 1, "BTC", 8), SetAsset(0, 1, "USDT", 8), SetSymbol(0, 1, symbol)])
        await self._send([SetPolicy(0, 1, 7 * _DAY_MS, 7 * _DAY_MS, 1_000_000)])
        for first in range(1, users + 1, 100):
            numbers = range(first, first + 100)
            records: list[Any] = [CreateUser(0, 1, user) for user in numbers]
            for asset, amount in (("BTC", 10**13), ("USDT", 10**15)):
                records += [TransferIn(0, 1, f"{asset}-{user}", user, asset, amount) for user in numbers]
            await self._send(records)

    async def answers(self, count: int, pause_s: float) -> list[float]:
        """Seconds from a command that is on the log to the event of its trade, one order after the other."""
        taken = []
        for n in range(count):
            await self._order(f"maker-{n}", 1, Side.Sell, OrderAccepted)
            begin, settled = await self._order(f"taker-{n}", 2, Side.Buy, TradeSettled)
            taken.append(settled - begin)
            await asyncio.sleep(pause_s)
        return taken

    async def run(self, frames: list[bytes], last_ids: list[int], seconds: float) -> tuple[int, float]:
        """Write frames for so long, and wait until everything is settled. Returns how many were written, and seconds.

        last_ids: the last request id in each frame.
        """
        begin, written = time.perf_counter(), 0
        for data in frames:
            if time.perf_counter() > begin + seconds:
                break
            await self.log.append([Append(OPERATIONS, data)])
            written += 1
            await self._answered_up_to(last_ids[max(0, written - AHEAD_FRAMES)])
        await self._answered_up_to(last_ids[written - 1])
        return written, await self._come_to_rest() - begin

    async def ends(self) -> dict[TopicPartition, int]:
        return {partition: await self.log.end(partition) for partition in PARTITIONS}

    async def _order(self, cid: str, user_id: int, side: Side, kind: type[Any]) -> tuple[float, float]:
        """Place it, and wait for an event of this kind: when it was on the log, and when the event was here."""
        order = PlaceOrder(
            0, 2, user_id, cid, "BTC_USDT", side, OrderType.Limit, TimeInForce.GTC, SelfTradePrevention.ExpireTaker,
            5_000_000, 1_000,
        )  # fmt: skip
        came: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        def on_event(event: Any) -> None:
            if type(event) is kind and not came.done():
                came.set_result(time.perf_counter())

        self._on_event = on_event
        await self._send([order])
        begin = time.perf_counter()
        settled = await came
        self._on_event = None
        return begin, settled

    async def _send(self, records: list[Any]) -> None:
        await self.log.append([Append(OPERATIONS, encode_frame("gateway-bench", 0, records))])

    async def _answered_up_to(self, request_id: int) -> None:
        while self.answered < request_id:
            self._changed.clear()
            await self._changed.wait()

    async def _come_to_rest(self) -> float:
        """When the last frame came on any topic; nothing more comes."""
        ends, changed = await self.ends(), time.perf_counter()
        while time.perf_counter() < changed + _QUIET_S:
            await asyncio.sleep(_POLL_S)
            if (now := await self.ends()) != ends:
                ends, changed = now, time.perf_counter()
        return changed

    async def _read(self) -> None:
        offset = await self.log.end(EVENTS)
        while True:
            await self.log.wait(EVENTS, offset)
            for stored in await self.log.read(EVENTS, offset):
                self._take(stored.data)
                offset = stored.offset + 1
            self._changed.set()

    def _take(self, data: bytes) -> None:
        if self._on_event is not None:
            for event in decode_frame(BALANCE_EVENTS, data).records:
                self._on_event(event)
            return
        # Of a busy log only the newest answer of each frame is opened: a gateway that looks for its own does as much.
        for raw in reversed(decode_header(data).records):
            tag, request_id = msgspec.msgpack.decode(raw)[:2]
            if tag in _ORDER_EVENTS:
                self.answered = max(self.answered, request_id)
                return
