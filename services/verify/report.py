"""What a verification found."""

from typing import NamedTuple


class Check(NamedTuple):
    """One thing that was compared. detail: figures when it is right, the first difference when it is not."""

    name: str
    ok: bool
    detail: str
