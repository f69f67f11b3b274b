"""Settings: what an exchange is told before it starts, from a YAML file, the environment and the command line.

    settings = load_settings(Path("exchange.yaml"), os.environ, {"server.port": 8080})

The command line wins over the environment, the environment over the file, the file over the defaults in settings.py.
A mistake raises ConfigError, one line each, with the place, the key and what it wants:

    exchange.yaml:12: key `symbols[0].tickSize`: wants a decimal text such as "0.01", got the number 3

Only the command line and `services.runtime` read settings; the services themselves get plain arguments.
"""

from services.config.distributed import (
    BackupSettings,
    BrokerSettings,
    DatabaseSettings,
    InternalSettings,
    MatcherSettings,
    SaslSettings,
    TlsSettings,
)
from services.config.load import load_settings
from services.config.settings import (
    AssetEntry,
    AuthSettings,
    GatewaySettings,
    IssuerEntry,
    JournalSettings,
    LogSettings,
    ServerSettings,
    Settings,
    SymbolEntry,
    TelemetrySettings,
    UbscoreSettings,
)

__all__ = [
    "AssetEntry",
    "AuthSettings",
    "BackupSettings",
    "BrokerSettings",
    "DatabaseSettings",
    "GatewaySettings",
    "InternalSettings",
    "IssuerEntry",
    "JournalSettings",
    "LogSettings",
    "MatcherSettings",
    "SaslSettings",
    "ServerSettings",
    "Settings",
    "SymbolEntry",
    "TelemetrySettings",
    "TlsSettings",
    "UbscoreSettings",
    "load_settings",
]
