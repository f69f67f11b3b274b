"""kill -9 at random moments, under load from several clients: what was acknowledged is there, and nothing is twice."""

import random
import threading
import time
from collections import Counter

from services.demo.client import USERS, Api
from tests.support.acknowledged import (
    check_active,
    check_orders,
    check_trades,
    check_transfers,
    until_stored,
    wait_for_answers,
)
from tests.support.exchange_process import ExchangeProcess
from tests.support.processes import run
from tests.support.stubborn_client import StubbornClient

KILLS = 22
SEED = 20_240_621


def test_killed_again_and_again_keeps_what_it_acknowledged_once(exchange: ExchangeProcess) -> None:
    api = Api(exchange.url, exchange.data_dir)
    stop = threading.Event()
    clients = [StubbornClient(exchange.url, api.token(who), who, SEED + who, stop) for who in (0, *USERS)]
    for client in clients:
        client.start()
    kill_at_random_moments(exchange, clients)
    stop.set()
    for client in clients:
        client.join(60)
        assert client.error is None
        assert not client.is_alive()
    done = [intent for client in clients for intent in client.done]
    repeated = sum(intent.attempts > 1 for intent in done)
    print(f"{KILLS} kills, {len(done)} commands, {repeated} of them repeated")
    # Without repeats after a lost answer, and many answers, nothing of this was tried.
    assert repeated >= KILLS
    assert Counter(intent.answer is not None for intent in done)[True] > 200
    until_stored(api, done)
    check_orders(api, done)
    check_transfers(api, done)
    check_trades(api)
    check_active(api)
    api.close()
    assert exchange.stop() == 0
    result = run("verify", "--data-dir", str(exchange.data_dir))
    assert result.returncode == 0, result.stdout + result.stderr


def kill_at_random_moments(exchange: ExchangeProcess, clients: list[StubbornClient]) -> None:
    """Most kills hit a busy exchange, some one that is still starting."""
    chance = random.Random(SEED)
    for number in range(KILLS):
        if number % 4 == 3:
            # While it starts: modules, recovery, the first commands.
            pause = chance.uniform(0.3, 1.0)
        else:
            exchange.wait_ready()
            wait_for_answers(clients, chance.randint(1, 60))
            pause = chance.uniform(0, 0.02)
        # Not to wait for anything: the moment itself is what is random.
        time.sleep(pause)
        exchange.kill()
        exchange.start()
    exchange.wait_ready()
    wait_for_answers(clients, 20)
