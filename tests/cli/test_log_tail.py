"""`exchange log tail`: every record with its place, as text and as JSON."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.adapters.ports import Append
from services.adapters.sqlite.log import SqliteLog
from services.cli.log_lines import view
from services.config import load_settings
from services.domain.messages import CancelRequest, CreateUser, MatchBody, MatchResult, TransferIn, encode_frame
from services.domain.rejects import Reject
from services.domain.topics import BALANCE_OPERATIONS, ENGINE_OUTPUTS, ORDERS, TopicPartition
from services.runtime.connections import open_log
from tests.real.broker import Broker
from tests.support.processes import PROGRAM, environment, run

BODY = MatchBody(7, 8, "BTC_USDT", 9, 1001, Reject.UNKNOWN_ORDER, [], [], [])


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    async def write() -> None:
        log = SqliteLog(tmp_path / "log.sqlite3")
        operations = TopicPartition(BALANCE_OPERATIONS, 0)
        frames = [
            Append(operations, encode_frame("gateway-a", 0, [CreateUser(1, 2, 1001)])),
            Append(operations, encode_frame("gateway-a", 0, [TransferIn(2, 3, "t-1", 1001, "BTC", 150)] * 2)),
            Append(TopicPartition(ORDERS, 0), encode_frame("ubscore-0", 5, [CancelRequest(1, 2, 3, 1001)] * 2)),
        ]
        raw = msgspec.Raw(msgspec.msgpack.encode(BODY))
        result = MatchResult(1, 0, b"\x00", b"\xff", raw)
        frames.append(Append(TopicPartition(ENGINE_OUTPUTS, 0), encode_frame("matcher-0", 1, [result])))
        await log.append(frames)
        await log.append([Append(operations, encode_frame("gateway-a", 0, [CreateUser(n, 0, n)])) for n in range(20)])
        await log.close()

    asyncio.run(write())
    return tmp_path


def tail(*arguments: str | Path) -> str:
    answer = run("log", "tail", *arguments, COLUMNS="80")
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout


def tail_json(*arguments: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tail(*arguments, "--json").splitlines()]


def test_log_tail_as_json_prints_every_record_with_its_place(data_dir: Path) -> None:
    lines = tail_json(BALANCE_OPERATIONS, "--from", "0", "--data-dir", data_dir)
    assert len(lines) == 3 + 20
    assert lines[1] == {
        "topic": "balance.operations",
        "partition": 0,
        "offset": 1,
        "source": "gateway-a",
        "sequence": 0,
        "type": "TransferIn",
        "record": {
            "request_id": 2,
            "time_ms": 3,
            "transfer_id": "t-1",
            "user_id": 1001,
            "asset": "BTC",
            "amount": 150,
        },
    }


def test_log_tail_counts_the_sequence_of_each_record(data_dir: Path) -> None:
    assert [line["sequence"] for line in tail_json(ORDERS, "--data-dir", data_dir)] == [5, 6]


def test_log_tail_opens_the_body_of_a_match_result(data_dir: Path) -> None:
    (line,) = tail_json(ENGINE_OUTPUTS, "--data-dir", data_dir)
    assert line["type"] == "MatchResult"
    assert (line["record"]["hash"], line["record"]["body"]["code"]) == ("ff", "UNKNOWN_ORDER")


def test_log_tail_without_from_shows_the_newest_ten_frames(data_dir: Path) -> None:
    assert [line["record"]["user_id"] for line in tail_json(BALANCE_OPERATIONS, "--data-dir", data_dir)] == [
        *range(10, 20)
    ]


def test_log_tail_as_text_has_a_line_for_each_record(data_dir: Path) -> None:
    lines = tail(BALANCE_OPERATIONS, "--from", "0", "--data-dir", data_dir).splitlines()
    assert len(lines) == 3 + 20
    assert lines[1].split()[:4] == ["0", "1", "gateway-a", "TransferIn"]
    assert lines[1].endswith("transfer_id=t-1 user_id=1001 asset=BTC amount=150")


def test_log_tail_from_beyond_the_end_says_what_the_log_holds(data_dir: Path) -> None:
    answer = run("log", "tail", BALANCE_OPERATIONS, "--from", "23", "--data-dir", data_dir)
    assert answer.returncode == 1
    assert answer.stderr == "exchange: balance.operations/0: offset 23 is not on the log, which holds 0 up to 22\n"


def test_log_tail_follows_what_is_written_later(data_dir: Path) -> None:
    program = [*PROGRAM, "log", "tail", ORDERS, "--json", "--follow", "--data-dir", str(data_dir)]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline()) for _ in range(2)]

        async def write() -> None:
            log = SqliteLog(data_dir / "log.sqlite3")
            frame = encode_frame("ubscore-0", 7, [CancelRequest(9, 9, 9, 1001)])
            await log.append([Append(TopicPartition(ORDERS, 0), frame)])
            await log.close()

        asyncio.run(write())
        later = json.loads(process.stdout.readline())
        process.terminate()
    assert [line["sequence"] for line in (*before, later)] == [5, 6, 7]


def test_view_of_a_message_has_words_for_numbers() -> None:
    assert view(BODY)["code"] == "UNKNOWN_ORDER"
    assert view(b"\x01\xff") == "01ff"


def test_log_tail_reads_the_broker_that_the_settings_name_and_the_folder_when_they_name_none(
    tmp_path: Path, broker: Broker
) -> None:
    config = tmp_path / "exchange.yaml"
    config.write_text(
        f"broker: {{bootstrapServers: ['{broker.address}'], topicPrefix: tail.}}\nubscore: {{shards: 2}}\n"
    )
    assert run("topics", "apply", "--config", config).returncode == 0

    async def write() -> None:
        log = open_log(load_settings(config))
        frame = encode_frame("gateway-0", 0, [CreateUser(7, 1_700_000_000_000, 1001)])
        await log.append([Append(TopicPartition(BALANCE_OPERATIONS, 1), frame)])
        await log.close()

    asyncio.run(write())
    answer = run("log", "tail", BALANCE_OPERATIONS, "--json", "--config", config)
    (line,) = [json.loads(line) for line in answer.stdout.splitlines()]
    assert (line["partition"], line["offset"], line["source"], line["type"]) == (1, 0, "gateway-0", "CreateUser")
    config.write_text("log: {level: info}\n")
    local = run("log", "tail", BALANCE_OPERATIONS, "--config", config, "--data-dir", tmp_path)
    assert local.stderr.startswith(f"exchange: {tmp_path} holds no log")
