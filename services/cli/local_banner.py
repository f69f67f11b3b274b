"""What a person sees when the exchange has started."""

import socket
from pathlib import Path
from typing import Final

from rich.console import Console

from services.runtime.credentials import CREDENTIALS_FILE, read_credentials

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104  shown as what a browser can open


def base_url(listener: socket.socket) -> str:
    """Where a client on this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    shown = _ANY_ADDRESS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def show_banner(console: Console, listener: socket.socket, data_dir: Path) -> None:
    """Print where the API is, and the keys to try it with.

    Beside logs (then the console is stderr) it names the file of the secrets instead: what is printed is collected.
    """
    credentials = read_credentials(data_dir)
    url = base_url(listener)
    lines = [
        f"\n[bold green]The exchange runs[/] on [bold]{url}[/]   (Ctrl-C stops it)",
        f"  console, to trade and to watch          [cyan]{url}/[/]",
        f"  API documentation, to read and to try   [cyan]{url}/docs[/]",
        f"  health                                  [cyan]{url}/health/ready[/]",
        f"  metrics                                 [cyan]{url}/metrics[/]\n",
    ]
    owners = {"admin": credentials.admin} | {f"user {user_id}": key for user_id, key in credentials.users.items()}
    for owner, key in owners.items():
        lines.append(f"  [bold]{owner:<10}[/] api_key     {key.api_key}")
        shown = f"in {data_dir / CREDENTIALS_FILE}" if console.stderr else key.secret_key
        lines.append(f"  {'':<10} secret_key  {shown}")
    # One line stays one line, however narrow the terminal: keys are there to be copied.
    console.print("\n".join(lines), "\n", soft_wrap=True)
