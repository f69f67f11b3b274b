"""`exchange smoke` as a chart's test calls it, on the distributed form."""

import json
import signal
import subprocess
from pathlib import Path

from services.demo.client import Api
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.stack import Stack
from tests.support.processes import PROGRAM, environment, run

STEPS = (
    "the gateway is ready",
    "the administrator's key is good",
    "were opened, with keys",
    "0.0001 BTC and 5 USDT were paid in",
    "the sale of 0.0001 BTC at 50000 rests",
    "the purchase took it",
    "the trade is settled, and both see it",
    "both orders are in the history",
    "both were paid out, and have neither keys nor rights any more",
)


def test_smoke_trades_across_all_processes_and_everything_adds_up(
    tmp_path: Path, broker: Broker, database: Database
) -> None:
    with Stack(tmp_path, broker=broker, database=database, prefix="smoke", account_shards=2) as stack:
        asked = ("smoke", "--url", stack.url, "--symbol", "BTC_USDT", "--credentials", tmp_path / "credentials.json")
        priceless = run(*asked)
        assert priceless.returncode == 1
        assert priceless.stderr == (
            "exchange: BTC_USDT has had no trade and has no orders, so nothing says what it is worth: name a --price\n"
        )
        done = run(*asked, "--price", "50000")
        assert (done.returncode, done.stderr) == (0, "")
        lines = done.stdout.splitlines()
        assert len(lines) == len(STEPS) + 1
        for line, step in zip(lines, STEPS, strict=False):
            assert line.endswith(step)
            assert int(line.split()[0]) >= 0
        assert lines[-1] == "Done: BTC_USDT trades. The exchange keeps, as fees: 0.0000001 BTC and 0.005 USDT."
        # Nobody folds the trade any more: it waits, is told to stop, and clears up.
        assert stack.stop_process("settlement-0") == 0
        process = subprocess.Popen(
            [*PROGRAM, *map(str, asked)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        assert process.stdout is not None
        opened: list[str] = []
        for line in process.stdout:
            opened = line.split()[3:6:2] if "were opened" in line else opened
            if line.endswith("the purchase took it\n"):
                break
        process.send_signal(signal.SIGTERM)
        out, complaint = process.communicate(timeout=60)
        assert (process.returncode, out, complaint) == (143, "", "exchange: stopped, as it was told\n")
        api = Api(stack.url, tmp_path)
        assert [api.get(f"/api/admin/users/{user}", 0)["suspended"] for user in opened] == [True, True]
        stack.restart("settlement-0")
        stack.wait_ready("settlement-0")
        verified = run("verify", "--config", stack.config)
        assert verified.returncode == 0, verified.stdout + verified.stderr


def test_smoke_with_a_wrong_price_or_without_a_key_is_refused_with_status_2(tmp_path: Path) -> None:
    asked = ("smoke", "--symbol", "BTC_USDT", "--credentials", tmp_path / "credentials.json")
    for price in ("cheap", "NaN", "Infinity"):
        keyed = run(*asked, "--price", price)
        assert keyed.returncode == 2
        assert keyed.stderr == f"exchange: --price {price}: wants a decimal number such as 50000.5\n"
    assert run(*asked).stderr == f"exchange: {tmp_path}/credentials.json: cannot be read: No such file or directory\n"
    (tmp_path / "credentials.json").write_text(json.dumps({"users": {}}))
    assert run(*asked).returncode == 2
