"""`exchange demo`: the whole story, against a running exchange."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from services.demo.story import tell


def demo(
    host: Annotated[str, typer.Option(help="Where the exchange listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="And its port.")] = 3001,
    url: Annotated[str, typer.Option(help="Both in one, such as http://127.0.0.1:3001.")] = "",
    data_dir: Annotated[Path, typer.Option(envvar="DATA_DIR", help="The exchange's folder, for its keys.")] = Path(
        "data"
    ),
    log_dir: Annotated[
        Path | None, typer.Option(envvar="LOG_DIR", show_default="logs in --data-dir", help="Its JSON logs.")
    ] = None,
) -> None:
    """Play a whole trading day against the exchange that `exchange local --demo` started, and check every balance.

    Three users deposit, trade with every order type, cancel, withdraw and are refused; then everything is asked for and
    must add up to the smallest unit. It may be played again and again. The exit status is 1 when anything is wrong.
    """
    tell(url or f"http://{host}:{port}", data_dir, log_dir or data_dir / "logs", Console())
