"""What a person sees when the exchange has started."""

import socket
from typing import Final

from rich.console import Console
from rich.table import Table

from services.runtime.credentials import Credentials

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  shown as what a browser can open


def base_url(listener: socket.socket) -> str:
    """Where a client on this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    shown = _ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def show_banner(console: Console, listener: socket.socket, credentials: Credentials) -> None:
    """Print where the API is, and the keys to try it with."""
    url = base_url(listener)
    console.print(f"\n[bold green]The exchange runs[/] on [bold]{url}[/]   (Ctrl-C stops it)")
    console.print(f"  API documentation, to read and to try   [cyan]{url}/docs[/]")
    console.print(f"  health, metrics                         [cyan]{url}/health/ready[/]  [cyan]{url}/metrics[/]\n")
    table = Table(title="Keys", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in ("who", "api_key", "secret_key"):
        table.add_column(column, no_wrap=True, overflow="fold")
    table.add_row("admin", credentials.admin.api_key, credentials.admin.secret_key)
    for user_id, key in credentials.users.items():
        table.add_row(f"user {user_id}", key.api_key, key.secret_key)
    console.print(table, soft_wrap=True)
    console.print()
