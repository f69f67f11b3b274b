"""From settings to a gateway's configuration."""

from services.config import Settings, load_settings
from services.gateway.deps import GatewayConfig, RateLimit
from services.runtime.credentials import Secrets
from services.runtime.gateway_config import gateway_config

SECRETS = Secrets(b"e" * 32, b"j" * 32, "token")


def test_gateway_config_of_the_default_settings_is_the_gateways_own() -> None:
    assert gateway_config(Settings(), SECRETS) == GatewayConfig(b"j" * 32, b"e" * 32, issuers=[])


def test_gateway_config_rate_limits_come_from_the_settings() -> None:
    settings = load_settings(
        environment={
            "EXCHANGE_GATEWAY__RATE_LIMITS__CALLER__PER_SECOND": "3",
            "EXCHANGE_GATEWAY__RATE_LIMITS__ANONYMOUS": "{perSecond: 4, burst: 5}",
        }
    )
    config = gateway_config(settings, SECRETS)
    assert (config.caller_rate, config.anonymous_rate) == (RateLimit(3, 20_000), RateLimit(4, 5))
