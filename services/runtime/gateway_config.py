"""From settings and secrets to a gateway's configuration."""

from pathlib import Path

from services.config import Settings
from services.domain.errors import ConfigError
from services.gateway.deps import GatewayConfig, Issuer, RateLimit
from services.runtime.credentials import Secrets


def gateway_config(
    settings: Settings, secrets: Secrets, *, account_shards: int = 1, matcher_shards: int = 1, instance: str = "0"
) -> GatewayConfig:
    """instance: names this one among several. Raises ConfigError when an issuer's key file cannot be read."""
    rates = settings.gateway.rate_limits
    return GatewayConfig(
        jwt_secret=secrets.jwt_secret,
        encryption_key=secrets.encryption_key,
        account_shards=account_shards,
        matcher_shards=matcher_shards,
        instance=instance,
        issuers=[
            Issuer(entry.issuer, entry.algorithm, _read_key(Path(entry.public_key_file)), entry.audience)
            for entry in settings.auth.issuers
        ],
        token_lifetime_s=settings.auth.token_lifetime_ms // 1000,
        answer_timeout_s=settings.gateway.answer_timeout_ms / 1000,
        max_in_flight=settings.gateway.max_in_flight,
        max_body_bytes=settings.gateway.max_body_bytes,
        caller_rate=RateLimit(rates.caller.per_second, rates.caller.burst),
        anonymous_rate=RateLimit(rates.anonymous.per_second, rates.anonymous.burst),
    )


def _read_key(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise ConfigError(f"auth.issuers: publicKeyFile {path}: {error.strerror}") from error
