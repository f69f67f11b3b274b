"""The shape of every table in keyspace `trading`, and where a row lies. What each is for is in schema/cql.

Tables whose partition keys are equal, byte by byte, share one mutation of the database: so they are chosen.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from services.domain.rows import OrderRow

DAY_MS: Final = 86_400_000

TRADE_BUCKET_SHIFT: Final = 14
"""A partition of settled_trades holds 16,384 consecutive trades of a symbol: 4 MB."""
LEDGER_BUCKET_SHIFT: Final = 18
"""A partition of balance_ledger holds 262,144 consecutive entries of a balance: 60 MB."""
UPDATE_BUCKET_SHIFT: Final = 14
"""A partition of order_updates_stream holds the updates of 16,384 consecutive outputs of a source: 6 MB."""
ORDER_BUCKET_SHIFT: Final = 14
"""A partition of orders_by_id holds 16,384 consecutive orders of an account shard: 1 MB."""


class TableShape(NamedTuple):
    """Columns of a table: `partition` ones that say where it lies, up to `key` ones that name the row, the rest."""

    columns: tuple[str, ...]
    partition: int
    key: int


_TRADE: Final = (
    "price_ticks",
    "quantity_lots",
    "base_amount",
    "quote_amount",
    "buyer_user_id",
    "seller_user_id",
    "buyer_order_id",
    "seller_order_id",
    "buyer_fee",
    "seller_fee",
    "buyer_is_maker",
    "matcher_shard",
    "engine_sequence",
)

TABLES: Final[dict[str, TableShape]] = {
    "settled_trades": TableShape(("symbol", "bucket", "trade_id", *_TRADE, "time_ms"), 2, 3),
    "settled_trades_by_day": TableShape(("symbol", "day", "bucket"), 2, 3),
    "trade_days": TableShape(("symbol", "day"), 1, 2),
    "settled_trades_by_user": TableShape(("user_id", "month", "time_ms", "symbol", "trade_id", *_TRADE), 2, 5),
    "trade_months": TableShape(("user_id", "month"), 1, 2),
    "user_balances": TableShape(("user_id", "asset_id", "available", "reserved", "version", "time_ms"), 1, 2),
    "balance_ledger": TableShape(
        (
            "user_id",
            "asset_id",
            "bucket",
            "seq",
            "kind",
            "available_delta",
            "reserved_delta",
            "available",
            "reserved",
            "reference",
            "event_id",
            "time_ms",
        ),
        3,
        4,
    ),
    "ledger_buckets": TableShape(("user_id", "asset_id", "bucket"), 1, 3),
    "settlement_progress": TableShape(("reader", "topic", "partition", "next_offset", "sequences"), 3, 3),
    "active_orders": TableShape(OrderRow.__struct_fields__, 1, 2),
    "order_history": TableShape(
        (
            "user_id",
            "month",
            "created_ms",
            "order_id",
            *(name for name in OrderRow.__struct_fields__ if name not in ("user_id", "order_id", "created_ms")),
        ),
        2,
        4,
    ),
    "orders_by_cid": TableShape(("user_id", "month", "cid", "created_ms", "order_id"), 2, 5),
    "order_months": TableShape(("user_id", "month"), 1, 2),
    "orders_by_id": TableShape(("bucket", "order_id", "user_id", "created_ms"), 1, 2),
    "order_updates_stream": TableShape(
        (
            "source",
            "day",
            "bucket",
            "sequence",
            "part",
            "user_id",
            "order_id",
            "symbol",
            "status",
            "filled_lots",
            "last_price_ticks",
            "last_quantity_lots",
            "trade_id",
            "is_maker",
            "code",
            "time_ms",
        ),
        3,
        5,
    ),
    "order_statistics": TableShape(
        ("user_id", "shard", "new", "filled", "cancelled", "rejected", "expired", "updated_ms", "sequence"), 1, 2
    ),
    "api_keys": TableShape(("api_key", "user_id", "secret_encrypted", "scopes", "created_ms", "revoked"), 1, 1),
    "api_keys_by_user": TableShape(("user_id", "created_ms", "api_key"), 1, 3),
}

COLUMN_TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(
        ("symbol", "asset_id", "kind", "reference", "event_id", "reader", "topic", "cid", "source", "api_key"), "text"
    ),
    **dict.fromkeys(("side", "order_type", "time_in_force", "status"), "tinyint"),
    **dict.fromkeys(("month", "matcher_shard", "partition", "part", "code", "shard"), "int"),
    **dict.fromkeys(("buyer_is_maker", "is_maker", "revoked"), "boolean"),
    "day": "date",
    "secret_encrypted": "blob",
    "sequences": "frozen<map<text, bigint>>",
    "scopes": "frozen<list<text>>",
}
"""By name, the same in every table; what is not named here is a bigint."""


def month_of(time_ms: int) -> int:
    """The month, in UTC, as 100 * year + month: 202512."""
    return _month_of_day(time_ms // DAY_MS)


@lru_cache(maxsize=4_096)
def _month_of_day(day: int) -> int:
    """Days since 1970-01-01 to a month: Howard Hinnant's civil_from_days, in integers alone."""
    shifted = day + 719_468
    era, day_of_era = divmod(shifted, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return 100 * (era * 400 + year_of_era + (month <= 2)) + month
