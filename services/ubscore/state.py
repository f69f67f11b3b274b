"""Everything an ubscore shard knows, and where its handlers put what they have to say."""

from typing import Final

from services.domain.core import SourceSequences
from services.domain.errors import InvariantError
from services.domain.instruments import Asset, Symbol
from services.domain.messages import CancelRequest, CommandRejected, Event, NewOrder
from services.domain.money import MAX_AMOUNT, clamped
from services.domain.rejects import Reject
from services.domain.topics import TopicPartition, account_shard, fee_account, order_account_shard
from services.ubscore.accounts import Account, OpenOrder
from services.ubscore.memory import OrderMemory, TransferMemory
from services.ubscore.policy import DEFAULT_POLICY, Policy


class State:
    """The state of one account shard: the users with `user_id % shards == shard`."""

    def __init__(self, shard: int, shards: int) -> None:
        self.shard = shard
        self.shards = shards
        self.max_supply: Final = MAX_AMOUNT // 2 // shards
        """Per asset. Any balance of any user on any shard then fits 64 bits, and so does what one order trades: as
        taker never more than all that exists, and after that as maker never more than its own notional."""
        self.next_offset = 0
        self.now_ms = 0
        """Log time: the highest time stamped on any command so far."""
        self.orders_seen = 0
        self.policy: Policy = DEFAULT_POLICY
        self.assets: dict[str, Asset] = {}
        self.symbols: dict[str, Symbol] = {}
        self.accounts: dict[int, Account] = {}
        self.fees = Account(fee_account(shard))
        self.supply: dict[str, int] = {}
        """Per asset: deposits less withdrawals of this shard's users."""
        self.transit: dict[str, int] = {}
        """Per asset: what trades brought in from other shards, less what they took there. Σ over shards is 0."""
        self.sequences = SourceSequences()
        self.said: dict[TopicPartition, int] = {}
        """The last sequence said to each output partition."""
        self.order_answers: OrderMemory = OrderMemory()
        self.transfer_answers: TransferMemory = TransferMemory()
        self.events: list[Event] = []
        """What the frame at hand says to balance.events; not part of the state between frames."""
        self.forwards: dict[int, list[NewOrder | CancelRequest]] = {}
        """What the frame at hand says to each matcher shard."""

    def owns(self, user_id: int) -> bool:
        """Whether the user belongs to this shard."""
        return account_shard(user_id, self.shards) == self.shard

    def refuse(self, request_id: int, time_ms: int, user_id: int, code: Reject) -> None:
        """Say that a cancel or an administrative command was refused."""
        self.events.append(CommandRejected(request_id, time_ms, clamped(user_id), code))

    def forward(self, matcher_shard: int, record: NewOrder | CancelRequest) -> None:
        """Say something to a matcher."""
        self.forwards.setdefault(matcher_shard, []).append(record)

    def find_open(self, user_id: int, order_id: int, cid: str = "") -> OpenOrder | None:
        """A user's open order, by order id, or by client order id when `order_id` is 0."""
        account = self.accounts.get(user_id)
        if account is None:
            return None
        if order_id == 0:
            answer = self.order_answers.get(user_id, cid)
            order_id = answer.order_id if answer is not None else 0
        return account.orders.get(order_id)

    def check(self) -> None:
        """Raises InvariantError unless everything adds up: nothing appeared, nothing vanished, nothing is negative.

        Costs a walk over all accounts: for verification and tests, not for every frame.
        """
        held = {asset: balance.available for asset, balance in self.fees.balances.items()}
        for account in self.accounts.values():
            self._check_reservations(account)
            for asset, balance in account.balances.items():
                if balance.available < 0 or balance.reserved < 0:
                    raise InvariantError(f"user {account.user_id}: negative balance of {asset}")
                held[asset] = held.get(asset, 0) + balance.available + balance.reserved
        for asset in sorted(held.keys() | self.supply.keys() | self.transit.keys()):
            expected = self.supply.get(asset, 0) + self.transit.get(asset, 0)
            if held.get(asset, 0) != expected:
                raise InvariantError(f"{asset}: {held.get(asset, 0)} units are held, {expected} came in")

    def _check_reservations(self, account: Account) -> None:
        """What is reserved is what the open orders need."""
        rest = {asset: balance.reserved for asset, balance in account.balances.items()}
        for order in account.orders.values():
            asset = order.reserved_asset
            rest[asset] = rest.get(asset, 0) - order.reserved
            if order_account_shard(order.order_id) != self.shard:
                raise InvariantError(f"order {order.order_id} is in shard {self.shard}")
            if order.reserved != order.reserved_for(order.quantity_lots - order.filled_lots):
                raise InvariantError(f"order {order.order_id} reserves {order.reserved} units, which it does not need")
        for asset, units in rest.items():
            if units:
                raise InvariantError(f"user {account.user_id}: {units} {asset} reserved for no open order")
