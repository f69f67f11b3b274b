"""The typed resource: what is read from the API server, and how a wrong one is refused when it comes another way."""

from pathlib import Path
from typing import Final

import msgspec
import pytest
from exchange_operator.resource import Exchange, parse

from tests.operator.examples import EXAMPLES, GONE, changed, example, read, stored

MINIMAL: Final = stored(example("minimal"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_parsed(path: Path) -> None:
    exchange = parse(stored(read(path)))
    assert exchange.name
    assert exchange.spec.symbols


def test_there_are_examples_of_three_sizes() -> None:
    assert [path.stem for path in EXAMPLES] == ["exchange-minimal", "exchange-production", "exchange-two-shards"]


def test_minimal_example_wants_one_of_each_and_two_symbols() -> None:
    spec = parse(MINIMAL).spec
    assert spec.redpanda.managed is not None
    assert spec.scylla.managed is not None
    assert (spec.redpanda.managed.replicas, spec.scylla.managed.replicas, spec.gateway.replicas) == (1, 1, 1)
    assert (spec.ubscore.shards, spec.ubscore.standby, spec.matcher.shards, spec.matcher.standby) == (
        1,
        False,
        1,
        False,
    )
    assert [symbol.name for symbol in spec.symbols] == ["BTC_USDT", "ETH_USDT"]


def test_production_example_is_encrypted_everywhere_and_survives_the_loss_of_a_node() -> None:
    spec = parse(stored(example("production"))).spec
    redpanda, scylla = spec.redpanda.external, spec.scylla.external
    assert redpanda is not None
    assert scylla is not None
    assert redpanda.tls is not None
    assert redpanda.tls.enabled
    assert redpanda.sasl is not None
    assert scylla.tls is not None
    assert scylla.credentials_secret_ref is not None
    assert (redpanda.replication, scylla.replication_factor, spec.gateway.replicas) == (3, 3, 3)
    assert spec.ubscore.standby
    assert spec.matcher.standby
    assert spec.gateway.ingress is not None
    assert spec.gateway.ingress.tls_secret_name
    assert spec.network_policy.enabled
    assert spec.backup is not None
    assert spec.backup.target.startswith("s3://")
    assert spec.scheduling.node_selector
    assert spec.deletion_policy == "Retain"


def test_two_shards_example_uses_every_matcher() -> None:
    spec = parse(stored(example("two-shards"))).spec
    assert (spec.ubscore.shards, spec.matcher.shards) == (2, 2)
    assert {symbol.matcher_shard for symbol in spec.symbols} == {0, 1}


def test_identity_is_what_the_api_server_says() -> None:
    exchange = parse(MINIMAL)
    assert (exchange.name, exchange.namespace, exchange.uid, exchange.generation) == ("demo", "default", "0b5c6f5e", 1)


def _paused(exchange: Exchange) -> bool:
    return exchange.paused


def test_exchange_is_paused_by_its_spec_or_by_its_annotation() -> None:
    assert not _paused(parse(MINIMAL))
    assert _paused(parse(changed(MINIMAL, {"spec.paused": True})))
    assert _paused(parse(changed(MINIMAL, {"metadata.annotations": {"trading.exchange/paused": "true"}})))
    assert not _paused(parse(changed(MINIMAL, {"metadata.annotations": {"trading.exchange/paused": "false"}})))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"spec.gateway.replicas": 0}, "$.gateway.replicas"),
        ({"spec.symbols.1.status": "Stopped"}, "$.symbols[1].status"),
        ({"spec.symbols.0.tickSize": "1e-2"}, "$.symbols[0].tickSize"),
        ({"spec.scylla": GONE}, "scylla"),
    ],
)
def test_wrong_resource_that_no_api_server_checked_is_refused_by_field(change: dict[str, object], field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refusal:
        parse(changed(MINIMAL, change))
    assert field in str(refusal.value)


def test_field_of_a_later_version_is_not_minded() -> None:
    assert parse(changed(MINIMAL, {"spec.gateway.colour": "blue"})) == parse(MINIMAL)


@pytest.mark.parametrize("fee", ["0", "0.0", "0.000001", "0.05", "0.1", "0.100000"])
def test_fee_up_to_a_tenth_is_taken(fee: str) -> None:
    assert parse(changed(MINIMAL, {"spec.symbols.0.makerFee": fee})).spec.symbols[0].maker_fee == fee


@pytest.mark.parametrize("fee", ["0.100001", "0.11", "0.2", "1", "-0.1", "0.0000001", "0.", ".1", "1e-3"])
def test_fee_above_a_tenth_or_no_number_is_refused(fee: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        parse(changed(MINIMAL, {"spec.symbols.0.makerFee": fee}))
