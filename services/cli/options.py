"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[
    Path | None, typer.Option(envvar="EXCHANGE_CONFIG", help="Settings, a YAML file; the environment may override.")
]
DistributedConfig = Annotated[
    Path | None, typer.Option(envvar="EXCHANGE_CONFIG", help="Settings of the distributed form, a YAML file.")
]
"""For commands that do without when they are about the local form."""
Confirmed = Annotated[bool, typer.Option("--yes", help="Do it; without this, only say what would be done.")]
