"""`exchange smoke`: does a running exchange trade?"""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from services.demo.smoke import Wish, smoke
from services.domain.errors import ConfigError
from services.runtime.credentials import read_credentials_file


def smoke_command(
    symbol: Annotated[str, typer.Option(help="What is traded, such as BTC_USDT.")],
    credentials: Annotated[Path, typer.Option(help="The file with the administrator's key that `keys` made.")],
    url: Annotated[str, typer.Option(help="A gateway.")] = "http://127.0.0.1:3001",
    price: Annotated[str | None, typer.Option(show_default="one that moves nothing", help="At which price.")] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds that a step may take.")] = 60.0,
) -> None:
    """Have two new users trade the smallest quantity with each other, on an exchange that runs, and clear up.

    It takes nothing from anybody's orders: the first order rests strictly between the best bid and the best ask, and
    the second takes it whole or not at all. Where there is no room between them, or nothing says what the symbol is
    worth, it trades nothing. Afterwards both users own nothing, are suspended, and have no keys; the fees stay with
    the exchange. The exit status is 1 when anything is not as it must be.
    """
    wish = Wish(symbol, None if price is None else _decimal(price), patience)
    key = read_credentials_file(credentials).admin
    smoke(url, {"api_key": key.api_key, "secret_key": key.secret_key}, wish, typer.echo)


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise ConfigError(f"--price {text}: wants a decimal number such as 50000.5")
    return number
