"""hypothesis drives the engine against its oracle, through restarts, repeats and other framings."""

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.domain.messages import CancelRequest, Frame, NewOrder
from services.domain.orders import OrderType, SelfTradePrevention, Side, TimeInForce
from services.domain.topics import ENGINE_OUTPUTS
from services.matcher.chain import ChainVerifier
from services.matcher.engine import MatcherEngine
from tests.support import matcher_commands as make
from tests.support.venues import EngineVenue, NaiveVenue

TERMS = st.fixed_dictionaries(
    {
        "side": st.sampled_from(Side),
        "price": st.integers(97, 103),
        "quantity": st.integers(1, 9),
        "user_id": st.integers(1, 3),
        "symbol": st.sampled_from(make.SYMBOLS),
        "order_type": st.sampled_from(OrderType),
        "time_in_force": st.sampled_from(TimeInForce),
        "self_trade_prevention": st.sampled_from(SelfTradePrevention),
    }
)
GTC: dict[str, Any] = {"order_type": OrderType.Limit, "time_in_force": TimeInForce.GTC}


class MatcherMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.fast = EngineVenue()
        self.naive = NaiveVenue()
        self.commands: list[NewOrder | CancelRequest] = []
        self.orders = 0

    def _send(self, commands: list[NewOrder | CancelRequest], repeated: int = 0) -> None:
        again = self.commands[len(self.commands) - repeated :]
        self.commands += commands
        answers = self.fast.send(again + commands, repeated)
        assert answers == [self.naive.handle(command) for command in commands]

    def _order(self, terms: dict[str, Any], **changes: Any) -> NewOrder:
        self.orders += 1
        return make.order(self.orders, **{**terms, **changes})

    @rule(terms=TERMS)
    def place(self, terms: dict[str, Any]) -> None:
        self._send([self._order(terms)])

    @rule(many=st.lists(TERMS, min_size=2, max_size=6), repeated=st.integers(0, 4))
    def place_many_in_one_frame_after_some_repeats(self, many: list[dict[str, Any]], repeated: int) -> None:
        orders: list[NewOrder | CancelRequest] = [self._order(terms, **GTC) for terms in many]
        self._send(orders, min(repeated, len(self.commands)))

    @rule(terms=TERMS, budget=st.integers(1, 2000), bounded=st.booleans())
    def place_market_by_budget(self, terms: dict[str, Any], budget: int, bounded: bool) -> None:
        changes = {"order_type": OrderType.Market, "quote_budget": budget}
        quantity = terms["quantity"] if bounded else 0
        self._send([self._order({**terms, "quantity": quantity}, **changes)])

    @rule(back=st.integers(0, 12), user_id=st.integers(1, 3))
    def cancel(self, back: int, user_id: int) -> None:
        self._send([make.cancel(max(1, self.orders - back), user_id)])

    @rule()
    def send_everything_again(self) -> None:
        self._send([], len(self.commands))

    @rule()
    def restart_from_a_snapshot(self) -> None:
        data = self.fast.engine.snapshot()
        self.fast.engine = MatcherEngine.restore(data)
        assert self.fast.engine.snapshot() == data

    @invariant()
    def depths_agree(self) -> None:
        for symbol in make.SYMBOLS:
            assert self.fast.depth(symbol) == self.naive.depth(symbol)
            assert self.fast.last_price(symbol) == self.naive.last_price(symbol)

    def teardown(self) -> None:
        """The chain is whole, and one big frame gives the same bodies and books as many small ones."""
        verifier = ChainVerifier()
        assert all(verifier.feed(result) is None for result in self.fast.results)
        assert verifier.hash == self.fast.engine.hash
        other = MatcherEngine(0, 1)
        outputs = other.apply(Frame(1, "ubscore-0", 1, list(self.commands)), 0)
        results = [output.records for output in outputs if output.partition.topic == ENGINE_OUTPUTS]
        bodies = [bytes(result.body) for records in results for result in records]
        assert bodies == [bytes(result.body) for result in self.fast.results]
        for symbol in make.SYMBOLS:
            assert other.depth(symbol, 100) == self.fast.engine.depth(symbol, 100)


TestMatcherMachine = MatcherMachine.TestCase
TestMatcherMachine.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
