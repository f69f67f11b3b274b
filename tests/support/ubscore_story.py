"""A fixed story with something of everything, for comparing what processes make of it."""

from services.domain.messages import CancelAll, CancelOrder, SetPolicy, SetUserStatus, TransferOut
from services.domain.orders import OrderStatus, OrderType
from tests.support.balance_shard import T0, buy, closed, match, sell, trade, venue


def story_digest() -> str:
    """The digest of a shard at the end of the story, in hex."""
    users = [(user * 7919) % 100_003 + 1 for user in range(1, 30)]
    shard = venue(*users)
    shard.send(SetPolicy(1, T0, 5_000, 5_000, 20), SetUserStatus(1, T0, users[3], True))
    for number in range(10):
        seller, buyer = users[number], users[-1 - number]
        maker = shard.send(sell(seller, 1000 + number, 20, f"s-{number}", time_ms=T0 + number)).forwards
        taker = shard.send(buy(buyer, 1010, 10, f"b-{number}", time_ms=T0 + 900 * number)).forwards
        if maker and taker:
            trades = [trade(maker[0][0], taker[0][0], 10)]
            shard.report(match(trades, [closed(taker[0][0])], sequence=number + 1))
    shard.send(*(buy(user, 1, 5, "refused", symbol="ETH_USDT") for user in users), TransferOut(1, T0, "t", 1, "BTC", 5))
    last = shard.send(buy(users[5], 900, 0, "m", order_type=OrderType.Market, quote_amount=2_000_000)).forward
    shard.report(match(closes=[closed(last, 0, OrderStatus.Expired)], sequence=11))
    shard.send(CancelAll(1, T0, users[0]), CancelOrder(1, T0 + 9_000, users[1], 0, "s-1"))
    return shard.core.digest().hex()
