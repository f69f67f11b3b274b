"""What is told to a fresh exchange through its own commands: policy, assets, symbols, and with --demo three users.

Everything goes through the log, as an administrator's commands would, and doing it again changes nothing.
"""

from collections.abc import Callable
from typing import Any

from services.adapters.ports import BalanceReads, Instruments
from services.config import Settings
from services.domain.errors import ConfigError
from services.domain.messages import (
    CommandRejected,
    CreateUser,
    SetAsset,
    SetPolicy,
    SetSymbol,
    TransferIn,
    TransferRejected,
    TransferRepeated,
)
from services.domain.money import parse_units
from services.domain.rejects import Reject
from services.gateway.dispatcher import Dispatcher
from services.runtime.demo_data import DEMO_DEPOSITS, DEMO_USERS
from services.ubscore.policy import Policy


async def declare(
    settings: Settings,
    policy: Policy,
    present: Instruments,
    dispatcher: Dispatcher,
    time_ms: Callable[[], int],
    matcher_shards: int = 1,
) -> list[str]:
    """Declare the settings' policy, and the assets and symbols that are not `present`.

    What is present is left as it is: a restart must not resume a symbol that somebody halted. Returns a sentence for
    each symbol that the settings describe differently. Raises ConfigError when a declaration is refused, among them
    another scale for an asset that exists, or names a matcher that does not; ApiError when there was no answer.
    """
    for entry in settings.symbols:
        # Nobody would ever match its orders, and ubscore, which does not know the matchers, could not refuse it.
        if entry.matcher_shard >= matcher_shards:
            raise ConfigError(f"symbol {entry.name}: matcherShard must be below {matcher_shards}")
    wanted = Policy(
        settings.ubscore.order_window_ms, settings.ubscore.transfer_window_ms, settings.ubscore.max_open_orders
    )
    if policy != wanted:
        await _announce(dispatcher, SetPolicy(dispatcher.next_request_id(), time_ms(), *wanted), "ubscore")
    for asset in settings.assets:
        if present.assets.get(asset.name) != asset.asset():
            command = SetAsset(dispatcher.next_request_id(), time_ms(), asset.name, asset.scale)
            await _announce(dispatcher, command, f"asset {asset.name}")
    differing = []
    for entry in settings.symbols:
        symbol = present.symbols.get(entry.name)
        if symbol is None:
            change = SetSymbol(dispatcher.next_request_id(), time_ms(), entry.settings())
            await _announce(dispatcher, change, f"symbol {entry.name}")
        elif symbol.settings != entry.settings():
            differing.append(f"symbol {entry.name} was changed since it was declared; the settings do not touch it")
    return differing


async def fund_demo_users(reads: BalanceReads, dispatcher: Dispatcher, time_ms: Callable[[], int]) -> None:
    """Open the demo users' accounts and credit each of them once, however often and however late this is called.

    Raises ConfigError when a command is refused, ApiError when there was no answer.
    """
    assets = (await reads.instruments()).assets
    for user_id in DEMO_USERS:
        if await reads.user_status(user_id) is None:
            create = CreateUser(dispatcher.next_request_id(), time_ms(), user_id)
            _check((await dispatcher.execute(create, user_id)).event, f"demo user {user_id}")
        # The transfer id alone would not do: it is forgotten after the transfer window.
        credited = {balance.asset for balance in await reads.balances(user_id)}
        for asset, amount in DEMO_DEPOSITS.items():
            if asset in credited:
                continue
            transfer_id, units = f"demo_{user_id}_{asset}", parse_units(amount, assets[asset].scale)
            deposit = TransferIn(dispatcher.next_request_id(), time_ms(), transfer_id, user_id, asset, units)
            _check((await dispatcher.execute(deposit, user_id)).event, f"demo deposit {transfer_id}")


async def _announce(dispatcher: Dispatcher, command: Any, what: str) -> None:
    for event in await dispatcher.announce(command):
        _check(event, what)


def _check(event: Any, what: str) -> None:
    """Raises ConfigError when the event is a refusal."""
    if isinstance(event, CommandRejected | TransferRejected | TransferRepeated) and event.code is not Reject.NONE:
        raise ConfigError(f"{what} was refused: {event.code.name}")
