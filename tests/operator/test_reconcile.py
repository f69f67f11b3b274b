"""Whole passes on a real API server with Kubernetes' controllers, and on the gateway of a real exchange."""

import time

import httpx
from exchange_operator.passes import LOOK_AGAIN_SECONDS

from tests.operator.control_plane import OPERATOR, until
from tests.operator.world import STAGES, World


def test_first_start_goes_stage_by_stage_until_the_exchange_is_ready(world: World) -> None:
    mark = world.plane.mark()
    world.ask()
    outcome = world.settle()

    assert outcome.again_seconds == LOOK_AGAIN_SECONDS
    assert outcome.conditions["Ready"]
    assert not outcome.conditions["Degraded"]
    assert world.order(mark) == list(STAGES)
    assert world.status()["observedGeneration"] == 1
    assert world.status()["gateway"] == "2/2"
    assert {"name": "BTC_USDT", "status": "Trading"} in world.status()["symbols"]
    assert world.instruments()["BTC_USDT"] == "Trading"
    # A stage whose pods are ready before anybody looks is not told.
    told = {message.partition(":")[0] for message in world.events("RollingOut")}
    assert "topics" in told <= set(STAGES)
    assert world.events("Ready") == ["the exchange serves"]
    assert "True" in world.kubectl("get", "exch", "demo")


def test_pass_over_a_converged_exchange_writes_nothing_anywhere(running: World) -> None:
    versions = running.versions()
    declared = httpx.get(f"{running.url}/api/symbols").json()
    mark = running.plane.mark()
    assert [running.once().result for _ in range(3)] == ["converged"] * 3
    running.restart()
    assert running.once().result == "converged"

    asked = [one for one in running.plane.requests(OPERATOR, mark) if running.namespace in one.uri]
    assert len(asked) > 40
    assert not [one for one in asked if one.is_write]
    assert running.versions() == versions
    assert httpx.get(f"{running.url}/api/symbols").json() == declared


def test_operator_that_ends_after_every_step_comes_to_the_same(world: World) -> None:
    mark = world.plane.mark()
    world.ask()
    for steps in range(400):
        asked = iter(range(1 + steps % 3))
        outcome = world.reconciler.run(world.namespace, "demo", lambda asked=asked: next(asked, None) is None)
        world.restart()
        if outcome.result == "converged":
            break
        time.sleep(0.02)

    assert world.settle().result == "converged"
    assert world.order(mark) == list(STAGES)
    made = [one.target for one in world.writes(mark) if one.status == httpx.codes.CREATED and one.target[1]]
    assert len(made) == len(set(made))


def test_upgrade_goes_stage_by_stage_to_the_new_image(running: World) -> None:
    mark = running.plane.mark()
    running.ask(image={"repository": "exchange-platform", "tag": "0.2.0"})
    begin = running.once().conditions["Ready"]
    assert running.settle().conditions["Ready"]

    assert running.order(mark) == list(STAGES)
    assert begin
    assert running.images() == {"exchange-platform:0.2.0"}
    assert running.events("Converged")


def test_image_that_does_not_start_stops_the_roll_where_it_is_and_can_be_taken_back(running: World) -> None:
    old = running.images()
    running.ask(image={"repository": "exchange-platform", "tag": "bad"})

    def stopped() -> bool:
        return running.once().conditions["Degraded"]

    until(stopped, "stopped")
    assert running.images() == old
    assert running.conditions()["Ready"][0] == "True"
    status, reason, message = running.conditions()["Degraded"]
    assert (status, reason) == ("True", "Topics")
    assert "demo-topics-" in message
    assert running.events("Topics")

    running.ask()
    assert not running.settle().conditions["Degraded"]
    assert running.images() == old


def test_what_others_change_and_delete_is_set_right_and_counted(running: World) -> None:
    before = running.get("service/demo-gateway")["spec"]["ports"]
    running.kubectl("delete", "service/demo-gateway", "pdb/demo-ubscore")
    running.kubectl("scale", "deploy/demo-gateway", "--replicas=5")
    running.kubectl("label", "statefulset/demo-ubscore", "app.kubernetes.io/instance-")
    running.settle()

    assert running.get("service/demo-gateway")["spec"]["ports"] == before
    assert running.get("deploy/demo-gateway")["spec"]["replicas"] == 2
    value = running.metrics.registry.get_sample_value
    for kind in ("Service", "PodDisruptionBudget", "Deployment", "StatefulSet"):
        assert value("exchange_operator_drift_corrections_total", {"kind": kind}) == 1, kind


def test_exchange_that_is_gone_is_nothing_to_do(world: World) -> None:
    mark = world.plane.mark()
    assert world.once().gone
    assert not world.writes(mark)
