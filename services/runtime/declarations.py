"""What is told to a fresh exchange through its own commands: policy, assets, symbols, and with --demo three users.

Everything goes through the log, as an administrator's commands would, and doing it again changes nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any

from services.adapters.ports import BalanceReads
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
    shards: Sequence[BalanceReads],
    dispatcher: Dispatcher,
    time_ms: Callable[[], int],
    matcher_shards: int = 1,
) -> list[str]:
    """Declare the settings' policy, assets and symbols to those of the account shards that do not have them.

    A symbol that any shard has is left as it is: a restart must not resume a symbol that somebody halted. Returns a
    sentence for each that the settings describe differently. Raises ConfigError when a declaration is refused, among
    them another scale for an asset that exists, or names a matcher that does not; ApiError or CoreUnavailable when
    there was no answer.
    """
    for entry in settings.symbols:
        # Nobody would ever match its orders, and ubscore, which does not know the matchers, could not refuse it.
        if entry.matcher_shard >= matcher_shards:
            raise ConfigError(f"symbol {entry.name}: matcherShard must be below {matcher_shards}")
    wanted = Policy(
        settings.ubscore.order_window_ms, settings.ubscore.transfer_window_ms, settings.ubscore.max_open_orders
    )
    if any([Policy(*await shard.policy()) != wanted for shard in shards]):
        await _announce(dispatcher, SetPolicy(dispatcher.next_request_id(), time_ms(), *wanted), "ubscore")
    present = [await shard.instruments() for shard in shards]
    for asset in settings.assets:
        if any(known.assets.get(asset.name) != asset.asset() for known in present):
            command = SetAsset(dispatcher.next_request_id(), time_ms(), asset.name, asset.scale)
            await _announce(dispatcher, command, f"asset {asset.name}")
    differing = []
    for entry in settings.symbols:
        having = [known.symbols[entry.name] for known in present if entry.name in known.symbols]
        wanted_symbol = having[0].settings if having else entry.settings()
        if len(having) < len(present):
            # A shard that missed it (somebody was killed between two appends) gets what the others have made of it.
            change = SetSymbol(dispatcher.next_request_id(), time_ms(), wanted_symbol)
            await _announce(dispatcher, change, f"symbol {entry.name}")
        if wanted_symbol != entry.settings():
            differing.append(f"symbol {entry.name} was changed since it was declared; the settings do not touch it")
    return differing


async def fund_demo_users(
    reads_of: Callable[[int], BalanceReads], dispatcher: Dispatcher, time_ms: Callable[[], int]
) -> None:
    """Open the demo users' accounts and credit each of them once, however often and however late this is called.

    reads_of: of the account shard that owns a user. Raises ConfigError when a command is refused, ApiError or
    CoreUnavailable when there was no answer.
    """
    for user_id in DEMO_USERS:
        reads = reads_of(user_id)
        assets = (await reads.instruments()).assets
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
