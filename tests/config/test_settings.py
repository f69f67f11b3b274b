"""Settings: a mistake is answered with its place, its key and what the key wants."""

from pathlib import Path

import pytest

from services.config import Settings, TelemetrySettings, load_settings
from services.config.kinds import FOREVER_MS
from services.domain.errors import ConfigError
from services.domain.instruments import SymbolStatus

GOOD = """\
server: {host: 0.0.0.0, port: 8080}
log:
  level: debug
  events: false
journal:
  flush: interval
  snapshotInterval: 5m
  segmentSize: 1Mi
ubscore:
  orderWindow: 48h
assets:
  - {name: BTC, scale: 8}
  - {name: USDT, scale: 6}
symbols:
  - name: BTC_USDT
    base: BTC
    quote: USDT
    tickSize: "0.01"
    lotSize: "0.0001"
    minNotional: "5"
    makerFee: "0.001"
    takerFee: "0.002"
    band: "0.1"
    status: CancelOnly
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "exchange.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def mistake(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    return str(caught.value).replace(f"{folder}/", "")


def test_settings_without_any_source_are_the_defaults() -> None:
    assert load_settings() == Settings()


def test_settings_from_a_file_are_read_in_their_units(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, GOOD))
    assert (settings.server.host, settings.server.port) == ("0.0.0.0", 8080)
    assert (settings.log.level, settings.log.events) == ("debug", False)
    assert settings.journal.flush == "interval"
    assert settings.journal.snapshot_interval_ms == 300_000
    assert settings.journal.segment_bytes == 2**20
    assert settings.ubscore.order_window_ms == 48 * 3_600_000
    assert [entry.asset().scale for entry in settings.assets] == [8, 6]
    symbol = settings.symbols[0].settings()
    assert (symbol.maker_fee_micros, symbol.taker_fee_micros, symbol.band_micros) == (1000, 2000, 100_000)
    assert (symbol.tick_size, symbol.status) == ("0.01", SymbolStatus.CancelOnly)


def test_settings_of_an_empty_file_are_the_defaults(tmp_path: Path) -> None:
    assert load_settings(write(tmp_path, "# nothing yet\n")) == Settings()
    assert load_settings(write(tmp_path, "server:\nlog:\n")) == Settings()


def test_settings_command_line_wins_over_environment_and_environment_over_file(tmp_path: Path) -> None:
    environment = {"EXCHANGE_SERVER__PORT": "9000", "EXCHANGE_SERVER__HOST": "::1", "EXCHANGE_LOG__EVENTS": "true"}
    settings = load_settings(write(tmp_path, GOOD), environment, {"server.port": 9100, "server.host": None})
    assert (settings.server.host, settings.server.port, settings.log.events) == ("::1", 9100, True)


def test_settings_environment_words_find_camel_case_keys() -> None:
    environment = {"EXCHANGE_JOURNAL__SNAPSHOT_INTERVAL": "7s", "EXCHANGE_UBSCORE__MAX_OPEN_ORDERS": "12"}
    settings = load_settings(environment=environment)
    assert (settings.journal.snapshot_interval_ms, settings.ubscore.max_open_orders) == (7000, 12)


def test_settings_environment_reaches_keys_below_a_section() -> None:
    settings = load_settings(environment={"EXCHANGE_GATEWAY__RATE_LIMITS__ANONYMOUS__BURST": "7"})
    rates = settings.gateway.rate_limits
    assert (rates.anonymous.per_second, rates.anonymous.burst, rates.caller.burst) == (1_000, 7, 20_000)


def test_settings_environment_list_is_written_as_yaml() -> None:
    entry = "[{issuer: https://id.example, algorithm: EdDSA, publicKeyFile: id.pem}]"
    settings = load_settings(environment={"EXCHANGE_AUTH__ISSUERS": entry})
    assert [issuer.issuer for issuer in settings.auth.issuers] == ["https://id.example"]


def test_settings_environment_names_of_kubernetes_services_are_left_alone() -> None:
    environment = {"EXCHANGE_PORT": "tcp://10.0.0.1:3001", "EXCHANGE_SERVICE_HOST": "x"}
    assert load_settings(environment=environment) == Settings()


def test_settings_environment_mistake_names_the_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environment={"EXCHANGE_SERVER__PORT": "http"})
    wish = 'wants a whole number from 0 to 65535, got the text "http"'
    assert str(caught.value) == f"environment EXCHANGE_SERVER__PORT: key `server.port`: {wish}"


def test_settings_command_line_mistake_names_the_option() -> None:
    with pytest.raises(ConfigError, match=r"^command line --port: key `server\.port`: wants a whole number"):
        load_settings(command_line={"server.port": 70000})


def test_settings_section_that_nobody_knows_is_refused_when_it_is_the_only_mistake(tmp_path: Path) -> None:
    assert mistake(tmp_path, "assetz: []\n").startswith(
        "exchange.yaml:1: key `assetz` is unknown: did you mean `assets`?"
    )


def test_settings_unquoted_decimal_names_line_key_and_wish(tmp_path: Path) -> None:
    got = mistake(tmp_path, GOOD.replace('tickSize: "0.01"', "tickSize: 3"))
    assert got == 'exchange.yaml:18: key `symbols[0].tickSize`: wants a decimal text such as "0.01", got 3'


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "rest"),
    [
        ("port: 8080", "port: 99999", 1, "server.port", ": wants a whole number from 0 to 65535, got 99999"),
        ("port: 8080", "port: true", 1, "server.port", ": wants a whole number from 0 to 65535, got true"),
        ("port: 8080", "port: 1.5", 1, "server.port", ": wants a whole number from 0 to 65535, got 1.5"),
        ("port: 8080", "port: [1]", 1, "server.port", ": wants a whole number from 0 to 65535, got a list"),
        ("{host: 0.0.0.0, port: 8080}", "here", 1, "server", ': wants keys and values, got the text "here"'),
        ("port: 8080", "prot: 8080", 1, "server.prot", " is unknown: did you mean `port`?"),
        ("segmentSize", "segment_size", 8, "journal.segment_size", " is unknown: did you mean `segmentSize`?"),
        ("port: 8080", "zzz: 1", 1, "server.zzz", " is unknown: there are host, port"),
        ("events: false", "events: 1", 4, "log.events", ": wants true or false, got 1"),
        ("flush: interval", "flush: never", 6, "journal.flush", ': wants one of batch, interval, got the text "never"'),
        ("5m", "5", 7, "journal.snapshotInterval", ": wants a duration such as 500ms, 60s, 15m, 24h or 7d, got 5"),
        (
            "5m",
            "0s",
            7,
            "journal.snapshotInterval",
            ': wants a duration such as 500ms, 60s, 15m, 24h or 7d, got the text "0s"',
        ),
        ("1Mi", "-1", 8, "journal.segmentSize", ": wants a size in bytes such as 65536, 64Ki or 64Mi, got -1"),
        ("name: BTC,", "name: btc,", 12, "assets[0].name", ": asset name 'btc' must be 1 to 16 of A-Z and 0-9"),
        ("name: USDT", "name: BTC", 13, "assets[1].name", ": asset BTC is there twice"),
        (", scale: 6", "", 13, "assets[1].scale", " is missing: wants a whole number from 0 to 12"),
        (
            '"0.001"',
            '"-0.001"',
            21,
            "symbols[0].makerFee",
            ': wants a decimal text with at most 6 decimals such as "0.001", got the text "-0.001"',
        ),
        ('"5"', '"1e400"', 20, "symbols[0].minNotional", ': wants a decimal text such as "0.01", got the text "1e400"'),
        ('"5"', ".nan", 20, "symbols[0].minNotional", ': wants a decimal text such as "0.01", got .nan'),
        ("base: BTC", "base: ETH", 16, "symbols[0].base", ": wants one of the assets (BTC, USDT)"),
        ("quote: USDT", "quote: EUR", 17, "symbols[0].quote", ": wants one of the assets (BTC, USDT)"),
        ('takerFee: "0.002"', 'takerFee: "0.2"', 15, "symbols[0].name", ": fees of BTC_USDT must be 0 to 0.1 (10 %)"),
        (
            "    status:",
            "    matcherShard: 3\n    status:",
            24,
            "symbols[0].matcherShard",
            ": wants less than 1, the number of matcher shards",
        ),
        (
            "CancelOnly",
            "Open",
            24,
            "symbols[0].status",
            ': wants one of Trading, Halted, CancelOnly, got the text "Open"',
        ),
        (
            "log:",
            "gateway: {rateLimits: {caller: {perSecond: 0}}}\nlog:",
            2,
            "gateway.rateLimits.caller.perSecond",
            ": wants a whole number from 1 to 1000000, got 0",
        ),
        (
            "log:",
            "gateway: {drain: 5}\nlog:",
            2,
            "gateway.drain",
            ": wants 0s, or a duration such as 500ms or 15s, got 5",
        ),
        ("log:", "server:", 2, "server", " is there twice, first in line 1"),
        ("  events: false", "  level: info", 4, "level", " is there twice, first in line 3"),
    ],
)
def test_settings_mistake_in_a_file_is_one_sentence(
    tmp_path: Path, old: str, new: str, line: int, key: str, rest: str
) -> None:
    assert old in GOOD
    assert mistake(tmp_path, GOOD.replace(old, new, 1)) == f"exchange.yaml:{line}: key `{key}`{rest}"


def test_settings_inexact_notional_says_what_to_raise(tmp_path: Path) -> None:
    got = mistake(tmp_path, GOOD.replace('"0.0001"', '"0.00001"'))
    assert got.startswith(
        "exchange.yaml:15: key `symbols[0].name`: tick size 0.01 × lot size 0.00001 is no whole number"
    )


def test_settings_with_several_mistakes_name_all_of_them(tmp_path: Path) -> None:
    text = GOOD.replace("port: 8080", "port: x").replace("debug", "loud").replace("scale: 8", "scale: 80")
    got = mistake(tmp_path, text)
    assert [line.partition(": ")[0] for line in got.splitlines()] == [f"exchange.yaml:{line}" for line in (1, 3, 12)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("server: [1,\n", "exchange.yaml:2: is not YAML: "),
        ("server: !!python/object/apply:os.system [x]\n", "exchange.yaml:1: "),
        ("- 1\n- 2\n", "exchange.yaml:1: wants keys and values, got a list"),
        ("a: &a {b: *a}\n", "exchange.yaml:1: is nested too deeply"),
        ("[" * 3000, "exchange.yaml: is nested too deeply"),
        ("--- 1\n--- 2\n", "exchange.yaml:2: is not YAML: "),
        (
            "server: {port: 2001-99-99}\n",
            "exchange.yaml:1: '2001-99-99' is no value that can be read; put it in quotes",
        ),
        ("\x07", "exchange.yaml: is not YAML: "),
    ],
)
def test_settings_file_that_is_no_yaml_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert mistake(tmp_path, text).startswith(expected)


def test_settings_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    (tmp_path / "latin").write_bytes(b"server: {host: \xff}")
    with pytest.raises(ConfigError, match=r"latin: is not UTF-8 text \(byte 15\)"):
        load_settings(tmp_path / "latin")


def test_settings_of_the_distributed_form_are_read_from_a_file_and_the_environment(tmp_path: Path) -> None:
    text = """
broker: {bootstrapServers: ["redpanda-0:9093"], replication: 3, retention: forever,
         tls: {enabled: true, caFile: ca.pem}}
ubscore: {shards: 2, addresses: [["http://ubscore-0:3100", "http://standby-0:3100/"], ["http://ubscore-1:3100"]]}
"""
    environment = {
        "EXCHANGE_BROKER__BOOTSTRAP_SERVERS": "[one:9092, two:9092]",
        "EXCHANGE_BROKER__SASL__MECHANISM": "SCRAM-SHA-512",
        "EXCHANGE_DATABASE__PASSWORD": "12345",
        "EXCHANGE_MATCHER__SHARDS": "2",
    }
    settings = load_settings(write(tmp_path, text), environment, {"internal.port": 0})
    assert settings.broker.bootstrap_servers == ["one:9092", "two:9092"]
    assert (settings.broker.insync_replicas, settings.broker.retention_ms) == (2, FOREVER_MS)
    assert (settings.broker.sasl.mechanism, settings.broker.tls.ca_file) == ("SCRAM-SHA-512", "ca.pem")
    assert settings.ubscore.addresses[0] == ["http://ubscore-0:3100", "http://standby-0:3100"]
    assert (settings.matcher.shards, settings.database.password, settings.internal.port) == (2, "12345", 0)


def test_settings_passwords_are_shown_nowhere(tmp_path: Path) -> None:
    settings = load_settings(
        environment={"EXCHANGE_DATABASE__PASSWORD": "hunter2", "EXCHANGE_BROKER__SASL__PASSWORD": "x9"}
    )
    assert "hunter2" not in repr(settings)
    assert "x9" not in repr(settings)
    got = mistake(tmp_path, "database: {password: 271828}\n")
    assert got == (
        "exchange.yaml:1: key `database.password`: wants a text (in quotes when it is a number), got something else"
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "ubscore: {shards: 2, addresses: [[http://a:1]]}",
            "exchange.yaml:1: key `ubscore.addresses`: wants a list of URLs for each of the 2 shards, got 1 lists",
        ),
        (
            "matcher: {addresses: [[]]}",
            "exchange.yaml:1: key `matcher.addresses`: wants a list of URLs for each of the 1 shards, got 1 lists",
        ),
        (
            "matcher: {addresses: [[matcher-0]]}",
            "exchange.yaml:1: key `matcher.addresses[0][0]`: wants a URL such as http://ubscore-0:3100, "
            'got the text "matcher-0"',
        ),
        (
            "matcher: {addresses: [http://matcher-0:3100]}",
            'exchange.yaml:1: key `matcher.addresses[0]`: wants a list, got the text "http://matcher-0:3100"',
        ),
        (
            "broker: {bootstrapServers: [9092]}",
            "exchange.yaml:1: key `broker.bootstrapServers[0]`: wants a text, got 9092",
        ),
        (
            "broker: {replication: 2, minInsyncReplicas: 3}",
            "exchange.yaml:1: key `broker.minInsyncReplicas`: wants at most 2, the replication",
        ),
        (
            "broker: {retention: 7}",
            "exchange.yaml:1: key `broker.retention`: wants forever, or a duration such as 24h or 7d, got 7",
        ),
    ],
)
def test_settings_mistake_in_the_distributed_form_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert mistake(tmp_path, text) == sentence


def test_settings_command_line_mistake_in_another_section_names_its_option() -> None:
    with pytest.raises(ConfigError, match=r"^command line --internal-port: key `internal\.port`: wants a whole number"):
        load_settings(command_line={"internal.port": 70000})


def test_load_telemetry_is_off_without_an_endpoint_and_says_its_units(tmp_path: Path) -> None:
    assert load_settings().telemetry.otlp_endpoint == ""
    path = tmp_path / "exchange.yaml"
    path.write_text(
        'telemetry: {otlpEndpoint: "http://otel:4318/", otlpProtocol: http, traceSampleRatio: "0.05", slowOrder: 1s,'
        " forcedPerSecond: 0}"
    )
    telemetry = load_settings(path).telemetry
    assert telemetry == TelemetrySettings("http://otel:4318", "http", 50_000, 1_000, 0)


@pytest.mark.parametrize("value", ['"1.5"', '"-0.1"', '"0.0000001"', "0.5", "all"])
def test_load_sample_ratio_not_a_share_is_refused(tmp_path: Path, value: str) -> None:
    path = tmp_path / "exchange.yaml"
    path.write_text(f"telemetry: {{traceSampleRatio: {value}}}")
    with pytest.raises(ConfigError, match=r"key `telemetry.traceSampleRatio`: wants a decimal text from"):
        load_settings(path)
