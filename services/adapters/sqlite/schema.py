"""The tables of the SQLite store, and beside each the query that its key or index serves.

Columns are the fields of the row types in domain/rows.py, in their order; a test holds the two against each other.
WITHOUT ROWID: the primary key is the way in, so the table is its own index.
"""

import sqlite3
from typing import Final

from services.domain.errors import StoreError
from services.domain.orders import OrderStatus

SCHEMA_VERSION: Final = 2

TABLES: Final = (
    # Trades of a symbol: the key. Trades of a user: one index a side; SQLite ends an index with the table's key, so
    # both hold (user, time_ms, symbol, trade_id), which is the order of that query.
    """CREATE TABLE settled_trades (
        symbol TEXT NOT NULL, trade_id INTEGER NOT NULL, price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL,
        base_amount INTEGER NOT NULL, quote_amount INTEGER NOT NULL, buyer_user_id INTEGER NOT NULL,
        seller_user_id INTEGER NOT NULL, buyer_order_id INTEGER NOT NULL, seller_order_id INTEGER NOT NULL,
        buyer_fee INTEGER NOT NULL, seller_fee INTEGER NOT NULL, buyer_is_maker INTEGER NOT NULL,
        matcher_shard INTEGER NOT NULL, engine_sequence INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (symbol, trade_id)) WITHOUT ROWID""",
    "CREATE INDEX settled_trades_by_buyer ON settled_trades (buyer_user_id, time_ms)",
    "CREATE INDEX settled_trades_by_seller ON settled_trades (seller_user_id, time_ms)",
    # Versions of the balances that a settlement batch touches.
    """CREATE TABLE user_balances (
        user_id INTEGER NOT NULL, asset_id TEXT NOT NULL, available INTEGER NOT NULL, reserved INTEGER NOT NULL,
        version INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, asset_id)) WITHOUT ROWID""",
    # The ledger of a user, of one asset or of all, highest seq first.
    """CREATE TABLE balance_ledger (
        user_id INTEGER NOT NULL, asset_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
        available_delta INTEGER NOT NULL, reserved_delta INTEGER NOT NULL, available INTEGER NOT NULL,
        reserved INTEGER NOT NULL, reference TEXT NOT NULL, event_id TEXT NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, asset_id, seq)) WITHOUT ROWID""",
    # Where a projection goes on after a restart. sequences: a JSON object.
    """CREATE TABLE settlement_progress (
        reader TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        sequences TEXT NOT NULL,
        PRIMARY KEY (reader, topic, partition)) WITHOUT ROWID""",
    # Open orders of a user.
    """CREATE TABLE active_orders (
        user_id INTEGER NOT NULL, order_id INTEGER NOT NULL, cid TEXT NOT NULL, symbol TEXT NOT NULL,
        side INTEGER NOT NULL, order_type INTEGER NOT NULL, time_in_force INTEGER NOT NULL, status INTEGER NOT NULL,
        price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        filled_tick_lots INTEGER NOT NULL, code INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, order_id)) WITHOUT ROWID""",
    # Orders of a user by time: the key. One order: by its id. The newest order with a client order id: by cid, whose
    # index ends with the key's created_ms and order_id.
    """CREATE TABLE order_history (
        user_id INTEGER NOT NULL, order_id INTEGER NOT NULL, cid TEXT NOT NULL, symbol TEXT NOT NULL,
        side INTEGER NOT NULL, order_type INTEGER NOT NULL, time_in_force INTEGER NOT NULL, status INTEGER NOT NULL,
        price_ticks INTEGER NOT NULL, quantity_lots INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        filled_tick_lots INTEGER NOT NULL, code INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        updated_ms INTEGER NOT NULL,
        PRIMARY KEY (user_id, created_ms, order_id)) WITHOUT ROWID""",
    "CREATE INDEX order_history_by_order_id ON order_history (order_id)",
    "CREATE INDEX order_history_by_cid ON order_history (user_id, cid)",
    # Read whole, by who audits.
    """CREATE TABLE order_updates_stream (
        source TEXT NOT NULL, sequence INTEGER NOT NULL, part INTEGER NOT NULL, user_id INTEGER NOT NULL,
        order_id INTEGER NOT NULL, symbol TEXT NOT NULL, status INTEGER NOT NULL, filled_lots INTEGER NOT NULL,
        last_price_ticks INTEGER NOT NULL, last_quantity_lots INTEGER NOT NULL, trade_id INTEGER NOT NULL,
        is_maker INTEGER NOT NULL, code INTEGER NOT NULL, time_ms INTEGER NOT NULL,
        PRIMARY KEY (source, sequence, part)) WITHOUT ROWID""",
    # Totals of a user, over shards.
    """CREATE TABLE order_statistics (
        user_id INTEGER NOT NULL, shard INTEGER NOT NULL, new INTEGER NOT NULL, filled INTEGER NOT NULL,
        cancelled INTEGER NOT NULL, rejected INTEGER NOT NULL, expired INTEGER NOT NULL, updated_ms INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (user_id, shard)) WITHOUT ROWID""",
    # A key by itself, and the keys of a user. scopes: a JSON array.
    """CREATE TABLE api_keys (
        api_key TEXT NOT NULL, user_id INTEGER NOT NULL, secret_encrypted BLOB NOT NULL, scopes TEXT NOT NULL,
        created_ms INTEGER NOT NULL, revoked INTEGER NOT NULL,
        PRIMARY KEY (api_key)) WITHOUT ROWID""",
    "CREATE INDEX api_keys_by_user ON api_keys (user_id, created_ms)",
)


MIGRATIONS: Final = {
    # The last sequence that statistics count is the one of the last update that they count.
    2: (
        "ALTER TABLE order_statistics ADD COLUMN sequence INTEGER NOT NULL DEFAULT 0",
        f"""UPDATE order_statistics SET sequence = counted.sequence FROM (
            SELECT user_id, source, max(sequence) AS sequence FROM order_updates_stream
            WHERE status <> {int(OrderStatus.PartiallyFilled)} GROUP BY user_id, source) AS counted
        WHERE counted.user_id = order_statistics.user_id AND counted.source =
            CASE WHEN shard < 0 THEN 'ubscore-' || (-1 - shard) ELSE 'matcher-' || shard END""",  # noqa: S608
        "DROP INDEX order_updates_stream_by_order",
    ),
}
"""What makes a store of the version before one of this version."""


def create_schema(connection: sqlite3.Connection) -> None:
    """Make the tables of a new store; bring an old one to this version, or refuse it. In one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)")
        if connection.execute("SELECT 1 FROM schema_version").fetchone() is None:
            for statement in TABLES:
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?)", (SCHEMA_VERSION,))
        _migrate(connection)
        check_schema(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _migrate(connection: sqlite3.Connection) -> None:
    for version in range(_version(connection) + 1, SCHEMA_VERSION + 1):
        for statement in MIGRATIONS[version]:
            connection.execute(statement)
        connection.execute("UPDATE schema_version SET version = ?", (version,))


def check_schema(connection: sqlite3.Connection) -> None:
    """Raises StoreError when the store is not of the version that this program knows."""
    version = _version(connection)
    if version != SCHEMA_VERSION:
        # A start of the exchange migrates an older one; who only reads must not.
        raise StoreError(f"the store has schema version {version}, this program knows {SCHEMA_VERSION}")


def _version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("SELECT max(version) FROM schema_version").fetchone()
    return int(version)
