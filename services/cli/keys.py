"""`exchange keys`: the files that the settings of the distributed form name under `auth`."""

from pathlib import Path
from typing import Annotated

import typer

from services.domain.errors import ConfigError
from services.runtime.credentials import CREDENTIALS_FILE, KEY_FILE, load_credentials, load_secrets


def keys(
    folder: Annotated[Path, typer.Argument(help="Where they shall be; made when missing.")],
    user: Annotated[
        list[int] | None, typer.Option("--user", help="Also a key for this user, to read and trade. Repeatable.")
    ] = None,
) -> None:
    """Make the secret that all processes of an exchange share, and the administrator's first key.

    What is there already is kept. Name the two files as `auth.secretKeyFile` and `auth.credentialsFile`, and keep them
    safe: whoever has the secret can read the secrets of all API keys in the store.
    """
    if wrong := [user_id for user_id in user or () if user_id < 1]:
        raise ConfigError(f"--user {wrong[0]}: wants a whole number above 0")
    load_secrets(folder)
    load_credentials(folder, user or ())
    for name in (KEY_FILE, CREDENTIALS_FILE):
        print(folder / name)
