"""What the JSON logs say about a record: flat fields, one line a record.

Every balance change can be followed by its event id from ubscore (what happened) to settlement (what the store holds),
every command by its request id from the gateway through the cores.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from services.adapters.logs.logs import Logs, ServiceLog
from services.adapters.ports import HistoryBatch, SettlementBatch
from services.domain.core import Output
from services.domain.messages import (
    CancelAccepted,
    CommandRejected,
    Frame,
    MatchResult,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderRepeated,
    TradeSettled,
    TransferCompleted,
    TransferRejected,
    TransferRepeated,
)
from services.domain.rows import LedgerRow, OrderUpdateRow
from services.domain.topics import BALANCE_EVENTS, ENGINE_OUTPUTS

Fields = Mapping[str, Any]


def _order_accepted(event: OrderAccepted) -> Fields:
    return {
        "event": "order_accepted",
        "request_id": event.request_id,
        "event_id": event.change.event_id,
        "order_id": event.order_id,
        "user_id": event.user_id,
        "cid": event.cid,
        "symbol": event.symbol,
    }


def _order_rejected(event: OrderRejected) -> Fields:
    return {
        "event": "order_rejected",
        "request_id": event.request_id,
        "order_id": event.order_id,
        "user_id": event.user_id,
        "cid": event.cid,
        "symbol": event.symbol,
        "code": event.code.name,
    }


def _transfer_completed(event: TransferCompleted) -> Fields:
    change = event.change
    return {
        "event": "transfer_completed",
        "request_id": event.request_id,
        "event_id": change.event_id,
        "transfer_id": event.transfer_id,
        "user_id": change.user_id,
        "asset": change.asset,
        "units": change.available_delta,
    }


def _transfer_rejected(event: TransferRejected) -> Fields:
    return {
        "event": "transfer_rejected",
        "request_id": event.request_id,
        "transfer_id": event.transfer_id,
        "user_id": event.user_id,
        "code": event.code.name,
    }


def _trade_settled(event: TradeSettled) -> Fields:
    return {
        "event": "trade_settled",
        "symbol": event.symbol,
        "trade_id": event.trade.trade_id,
        "engine_sequence": event.engine_sequence,
        "event_ids": [change.event_id for change in event.changes],
    }


def _order_closed(event: OrderClosed) -> Fields:
    return {
        "event": "order_closed",
        "request_id": event.request_id,
        "event_id": event.change.event_id if event.change is not None else None,
        "order_id": event.order_id,
        "user_id": event.user_id,
        "status": event.status.name,
    }


def _command_repeated(event: OrderRepeated | TransferRepeated) -> Fields:
    return {"event": "command_repeated", "request_id": event.request_id, "user_id": event.user_id}


def _cancel_accepted(event: CancelAccepted) -> Fields:
    return {"event": "cancel_accepted", "request_id": event.request_id, "order_ids": event.order_ids}


def _command_rejected(event: CommandRejected) -> Fields:
    return {
        "event": "command_rejected",
        "request_id": event.request_id,
        "user_id": event.user_id,
        "code": event.code.name,
    }


_LINES: Final[dict[type[Any], Callable[[Any], Fields]]] = {
    OrderAccepted: _order_accepted,
    OrderRejected: _order_rejected,
    OrderRepeated: _command_repeated,
    CancelAccepted: _cancel_accepted,
    CommandRejected: _command_rejected,
    TransferCompleted: _transfer_completed,
    TransferRejected: _transfer_rejected,
    TransferRepeated: _command_repeated,
    TradeSettled: _trade_settled,
    OrderClosed: _order_closed,
}


def balance_event(event: Any) -> Fields:
    """A record of balance.events."""
    line = _LINES.get(type(event))
    if line is not None:
        return line(event)
    return {"event": "setting_changed", "kind": type(event).__name__, "request_id": event.request_id}


def match_result(result: MatchResult) -> Fields:
    """A record of engine.outputs."""
    body = result.decode_body()
    return {
        "event": "command_matched",
        "request_id": body.request_id,
        "order_id": body.order_id,
        "symbol": body.symbol,
        "sequence": result.sequence,
        "trade_ids": [trade.trade_id for trade in body.trades],
        "code": body.code.name,
    }


def ledger_row(row: LedgerRow) -> Fields:
    """A row that settlement wrote."""
    return {"event": "ledger_entry_stored", "event_id": row.event_id, "reference": row.reference}


def order_update_row(row: OrderUpdateRow) -> Fields:
    """A row that order_history wrote."""
    return {
        "event": "order_update_stored",
        "order_id": row.order_id,
        "user_id": row.user_id,
        "status": row.status.name,
        "trade_id": row.trade_id,
    }


class EventLines:
    """The hooks of all shells. logs: None for silence. shard: which the lines carry. events: else only at debug."""

    def __init__(self, logs: Logs | None, shard: int = 0, *, events: bool = True) -> None:
        self._level = "info" if events else "debug"
        self._services: dict[str, ServiceLog] = {}
        if logs is not None:
            for service in ("ubscore", "matcher", "settlement", "order_history"):
                self._services[service] = logs.service(service, shard)

    def ubscore_applied(self, _frame: Frame[Any], _offset: int, outputs: list[Output]) -> None:
        """A frame went through ubscore."""
        for output in outputs:
            if output.partition.topic == BALANCE_EVENTS:
                self._say("ubscore", output.records, balance_event)

    def matcher_applied(self, _frame: Frame[Any], _offset: int, outputs: list[Output]) -> None:
        """A frame went through the matcher."""
        for output in outputs:
            if output.partition.topic == ENGINE_OUTPUTS:
                self._say("matcher", output.records, match_result)

    def settlement_written(self, batch: SettlementBatch) -> None:
        """Rows are in the store."""
        self._say("settlement", batch.ledger, ledger_row)

    def history_written(self, batch: HistoryBatch) -> None:
        """Rows are in the store."""
        self._say("order_history", batch.updates, order_update_row)

    def _say(self, service: str, items: Sequence[Any], to_fields: Callable[[Any], Fields]) -> None:
        log = self._services.get(service)
        if log is not None:
            log.records("record", items, to_fields, self._level)
