"""How exchanges go, on a real API server with Kubernetes' controllers."""

from exchange_operator.deletion import JOB_HAS

from tests.operator.manifest_examples import BTC_USDT
from tests.operator.world import STAGES, World


def test_paused_exchange_is_left_as_it_is_and_can_be_deleted(doomed: World) -> None:
    doomed.kubectl("annotate", "exchange/demo", "trading.exchange/paused=true")
    doomed.kubectl("delete", "service/demo-gateway")
    doomed.ask(gateway={"replicas": 3}, symbols=[BTC_USDT | {"status": "Halted"}])
    mark = doomed.plane.mark()
    assert [doomed.once().result for _ in range(2)] == ["paused"] * 2

    assert {one.target[0] for one in doomed.writes(mark)} <= {"exchanges", "events"}
    assert doomed.conditions()["Progressing"][:2] == ("False", "Paused")
    assert doomed.instruments()["BTC_USDT"] == "Trading"
    doomed.mark_deleted()
    doomed.until_gone()
    assert not doomed.get("statefulsets")["items"]


def test_deletion_ends_gateways_first_and_keeps_volumes_and_keys(doomed: World) -> None:
    mark = doomed.plane.mark()
    doomed.mark_deleted()
    doomed.until_gone()

    deleted = [one.target[1] for one in doomed.writes(mark) if one.verb == "delete"]
    workloads = [name for name in deleted if name.removeprefix("demo-") in STAGES]
    places = [workloads.index(f"demo-{name}") for name in ("gateway", "ubscore", "settlement")]
    assert places == sorted(places)
    assert workloads[0] == "demo-gateway"
    left = {one["kind"] for one in doomed.get("pods,svc,deploy,sts,jobs,cm,secret,pvc,sa,netpol,pdb")["items"]}
    assert left == {"Secret", "PersistentVolumeClaim"}
    assert doomed.conditions()["Ready"][:2] == ("False", "Deleting")


def test_deletion_with_all_that_is_kept_removes_topics_tables_volumes_and_keys(world: World) -> None:
    world.ask(deletionPolicy="Delete")
    world.settle()
    mark = world.plane.mark()
    world.mark_deleted()
    world.until_gone()

    made = [one.target[1] for one in world.writes(mark) if one.target[0] == "jobs"]
    assert any(name.startswith("demo-topics-delete-") for name in made)
    assert any(name.startswith("demo-schema-drop-") for name in made)
    claims = [one for one in world.get("pvc")["items"] if "deletionTimestamp" not in one["metadata"]]
    assert not claims
    assert not world.get("secrets")["items"]
    assert not world.events("LeftBehind")


def test_deletion_of_what_cannot_be_deleted_ends_all_the_same_and_says_what_stays(world: World) -> None:
    world.ask(deletionPolicy="Delete")
    world.settle()
    world.ask(deletionPolicy="Delete", image={"repository": "exchange-platform", "tag": "bad"})
    world.mark_deleted()
    world.restart(late=JOB_HAS)
    world.until_gone()

    (message,) = world.events("LeftBehind")
    assert "the topics could not be deleted" in message
    assert not world.get("statefulsets")["items"]
