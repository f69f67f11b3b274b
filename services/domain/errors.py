"""What can go wrong, in three kinds.

A `Reject` (rejects.py) is a value: a command was refused, with a stable number. An `ExchangeError` is raised when
something around the cores fails, and wraps the library's own error with `from`. An `InvariantError` means that the
process can no longer vouch for its state: it stops the process, and nobody catches it to go on. Input never raises one.

    ExchangeError
    ├── ConfigError          a setting is missing or wrong
    ├── FormatError          text is not the number it should be
    ├── LogError             the log refused or failed
    ├── StoreError           the store refused or failed
    │   └── StoreUnavailable     try again later
    ├── JournalError         the journal on disk cannot be used
    ├── BackupError          a backup cannot be made, or used as it is
    └── CoreUnavailable      a core of another process does not answer: try again later
    InvariantError
    └── GapError             a position or sequence is missing: stop, never skip
"""


class ExchangeError(Exception):
    """The root of every error that this project raises on purpose."""


class ConfigError(ExchangeError):
    """A setting is missing or wrong; the message names the key and what it wants."""


class FormatError(ExchangeError, ValueError):
    """A text is not the number that it should be."""


class LogError(ExchangeError):
    """The log refused or failed an operation."""


class StoreError(ExchangeError):
    """The store refused or failed an operation."""


class StoreUnavailable(StoreError):
    """The store did not answer; whether the write took effect is unknown. Writes are idempotent: repeat it."""


class JournalError(ExchangeError):
    """The journal cannot be used as it is; the message names the file and the byte position."""


class BackupError(ExchangeError):
    """A backup cannot be made, or is not whole; the message names the file or the position."""


class CoreUnavailable(ExchangeError):
    """A core did not answer a read, or does not know everything yet. Nothing was changed: ask again."""


class InvariantError(Exception):
    """A state that must not exist. Stops the process; caught only to say so, never caused by input."""


class GapError(InvariantError):
    """A position, sequence or version is missing from a stream; the message names where."""
