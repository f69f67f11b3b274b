"""The four topics of the log, who is who on them, and which partition a record belongs to."""

from typing import Final, NamedTuple

BALANCE_OPERATIONS: Final = "balance.operations"
"""Commands of gateways and operators, and the matcher's reports; by account shard; read by ubscore."""
BALANCE_EVENTS: Final = "balance.events"
"""What happened to accounts and balances; by account shard; written by ubscore."""
ORDERS: Final = "orders"
"""Accepted orders and cancels; by matcher shard; written by ubscore, read by the matcher."""
ENGINE_OUTPUTS: Final = "engine.outputs"
"""Order updates, trades and book changes, hash-chained; by matcher shard; written by the matcher."""

TOPICS: Final = (BALANCE_OPERATIONS, BALANCE_EVENTS, ORDERS, ENGINE_OUTPUTS)

ORDER_SHARD_SHIFT: Final = 44
"""An order id is `account shard << 44 | counter`: shard 0 counts 1, 2, 3 …, and 512 shards stay within 2**53."""


class TopicPartition(NamedTuple):
    """One totally ordered stream of frames."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


def account_shard(user_id: int, shards: int) -> int:
    """The account shard that owns `user_id`; a fee account (negative id, see `fee_account`) belongs to its own."""
    return user_id % shards if user_id > 0 else -user_id - 1


def fee_account(shard: int) -> int:
    """The user id of a shard's fee account: negative, so that it can never be a customer's."""
    return -1 - shard


def order_account_shard(order_id: int) -> int:
    """The account shard that assigned `order_id`."""
    return order_id >> ORDER_SHARD_SHIFT


def ubscore_source(shard: int) -> str:
    """The source name on frames of an ubscore shard."""
    return f"ubscore-{shard}"


def matcher_source(shard: int) -> str:
    """The source name on frames of a matcher shard."""
    return f"matcher-{shard}"
