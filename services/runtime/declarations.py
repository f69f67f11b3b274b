"""What is told to a fresh exchange through its own commands: policy, assets, symbols, and with --demo three users.

Everything goes through the log, as an administrator's commands would, and doing it again changes nothing.
"""

from collections.abc import Callable
from typing import Any

from services.adapters.ports import Instruments
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


async def declare(settings: Settings, present: Instruments, dispatcher: Dispatcher, time_ms: Callable[[], int]) -> None:
    """Declare the settings' policy, and the assets and symbols that are not `present` as they are there.

    Raises ConfigError when one is refused, such as another scale for an asset that exists; ApiError when there was no
    answer.
    """
    policy = settings.ubscore
    await _announce(
        dispatcher,
        SetPolicy(
            request_id=dispatcher.next_request_id(),
            time_ms=time_ms(),
            order_window_ms=policy.order_window_ms,
            transfer_window_ms=policy.transfer_window_ms,
            max_open_orders=policy.max_open_orders,
        ),
        "ubscore",
    )
    for asset in settings.assets:
        if present.assets.get(asset.name) != asset.asset():
            command = SetAsset(dispatcher.next_request_id(), time_ms(), asset.name, asset.scale)
            await _announce(dispatcher, command, f"asset {asset.name}")
    for entry in settings.symbols:
        symbol = present.symbols.get(entry.name)
        if symbol is None or symbol.settings != entry.settings():
            change = SetSymbol(dispatcher.next_request_id(), time_ms(), entry.settings())
            await _announce(dispatcher, change, f"symbol {entry.name}")


async def fund_demo_users(present: Instruments, dispatcher: Dispatcher, time_ms: Callable[[], int]) -> None:
    """Open the demo users' accounts and credit each of them once, however often this is called.

    Raises ConfigError when a command is refused, ApiError when there was no answer.
    """
    for user_id in DEMO_USERS:
        create = CreateUser(dispatcher.next_request_id(), time_ms(), user_id)
        _check((await dispatcher.execute(create, user_id)).event, f"demo user {user_id}")
        for asset, amount in DEMO_DEPOSITS.items():
            units = parse_units(amount, present.assets[asset].scale)
            transfer_id = f"demo_{user_id}_{asset}"
            deposit = TransferIn(dispatcher.next_request_id(), time_ms(), transfer_id, user_id, asset, units)
            _check((await dispatcher.execute(deposit, user_id)).event, f"demo deposit {transfer_id}")


async def _announce(dispatcher: Dispatcher, command: Any, what: str) -> None:
    for event in await dispatcher.announce(command):
        _check(event, what)


def _check(event: Any, what: str) -> None:
    """Raises ConfigError when the event is a refusal."""
    if isinstance(event, CommandRejected | TransferRejected | TransferRepeated) and event.code is not Reject.NONE:
        raise ConfigError(f"{what} was refused: {event.code.name}")
