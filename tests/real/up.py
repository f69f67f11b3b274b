"""`make up` and `make down`: the distributed form on this machine, for a person to try.

    python -m tests.real.up FOLDER [--host 127.0.0.1] [--port 3001]
    python -m tests.real.up FOLDER --down [--clean]

The processes go on when this one ends; FOLDER/running.json says which they are. It is the stack of the tests
(stack.py), on the stand-ins for Redpanda and ScyllaDB that a machine with Java and Maven gets by itself.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from services.adapters.files import FolderLock
from services.domain.errors import ExchangeError
from tests.real.stack import BROKER, DATABASE, Stack

RECORD: Final = "running.json"
ENDS_WITHIN_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.05


def main() -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    arguments = _arguments()
    folder: Path = arguments.folder.resolve()
    console = Console(highlight=False, soft_wrap=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FolderLock(folder)
        if arguments.down:
            _down(folder, console)
        else:
            _up(folder, arguments.host, arguments.port, console)
        lock.release()
    except (AssertionError, ExchangeError, OSError) as error:
        sys.exit(f"{'down' if arguments.down else 'up'}: {error}")
    if arguments.down and arguments.clean:
        shutil.rmtree(folder)
        console.print(f"Removed {folder}.")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The distributed form on this machine, for a person to try.")
    parser.add_argument("folder", type=Path, help="For everything it keeps.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3001)
    parser.add_argument("--down", action="store_true", help="Stop it.")
    parser.add_argument("--clean", action="store_true", help="With --down: remove the folder too.")
    return parser.parse_args()


def _up(folder: Path, host: str, port: int, console: Console) -> None:
    running = _running(folder)
    if running and len(running) == len(_recorded(folder)):
        console.print("It runs already.")
    else:
        if running:
            console.print(f"Some of it runs no more; stopping the rest first: {', '.join(running)}.")
            _end(folder, running)
        _start(folder, host, port, console)
    _banner(folder, console)


def _start(folder: Path, host: str, port: int, console: Console) -> None:
    stack = Stack(folder, detached=True, host=host, port=port)
    try:
        with console.status("Starting broker, database and five services; it takes half a minute …"):
            stack.start()
        _record(folder, stack)
    except BaseException:
        stack.end()
        raise


def _record(folder: Path, stack: Stack) -> None:
    """Write down who runs, in the order in which they are to be stopped."""
    names = [*stack.stop_order, DATABASE, BROKER]
    pids = {name: stack.server(name).process.pid for name in names}
    health = {name: process.url for name, process in stack.processes.items()}
    (folder / RECORD).write_text(json.dumps({"url": stack.url, "pids": pids, "internal": health}, indent=2) + "\n")


def _banner(folder: Path, console: Console) -> None:
    record = json.loads((folder / RECORD).read_text())
    keys = json.loads((folder / "credentials.json").read_text())
    url = record["url"]
    console.print(f"\n[bold green]The exchange runs[/] on [bold]{url}[/], as {len(record['internal'])} processes")
    console.print(f"  API documentation, to read and to try   [cyan]{url}/docs[/]")
    demo = f"{Path(sys.executable).with_name('exchange')} demo --url {url} --data-dir {folder}"
    console.print(f"  play the whole story                    make demo      ({demo})")
    console.print(f"  JSON logs; what each process printed    {folder}/logs; {folder}/output")
    console.print(f"  settings of all of them                 {folder}/exchange.yaml")
    console.print("  stop it, and keep the data              make down      (make down CLEAN=1 removes it)\n")
    for name, internal in record["internal"].items():
        console.print(f"  {name:<16} pid {record['pids'][name]:<8} {internal}/health/ready  {internal}/metrics")
    console.print()
    owners = {"admin": keys["admin"]} | {f"user {user}": key for user, key in keys["users"].items()}
    for owner, key in owners.items():
        console.print(f"  [bold]{owner:<10}[/] api_key     {key['api_key']}")
        console.print(f"  {'':<10} secret_key  {key['secret_key']}")
    console.print()


def _down(folder: Path, console: Console) -> None:
    running = _running(folder)
    if not running:
        console.print("Nothing runs.")
    _end(folder, running)
    (folder / RECORD).unlink(missing_ok=True)
    if running:
        console.print(f"Stopped {', '.join(running)}. The data is in {folder}.")


def _end(folder: Path, running: dict[str, int]) -> None:
    """Stop them one after the other, in their order; whoever does not end in time is killed."""
    for name, pid in running.items():
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + ENDS_WITHIN_SECONDS
        while _is_ours(pid, folder) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        if _is_ours(pid, folder):
            os.kill(pid, signal.SIGKILL)
            print(f"{name} did not end within {ENDS_WITHIN_SECONDS:.0f} s and was killed")


def _recorded(folder: Path) -> dict[str, int]:
    try:
        pids: dict[str, int] = json.loads((folder / RECORD).read_text())["pids"]
    except FileNotFoundError:
        return {}
    return pids


def _running(folder: Path) -> dict[str, int]:
    """Those of the record that still run."""
    return {name: pid for name, pid in _recorded(folder).items() if _is_ours(pid, folder)}


def _is_ours(pid: int, folder: Path) -> bool:
    """Whether the process of this number is one that names the folder: numbers are given again to others."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return str(folder) in found and not found.startswith("Z")


if __name__ == "__main__":
    main()
