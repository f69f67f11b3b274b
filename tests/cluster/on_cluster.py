"""An exchange on a real cluster, as its platform engineer and its traders see it."""

import base64
import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console

from services.demo.client import USERS, Api, Refusal
from services.demo.review import owned
from services.demo.story import tell
from services.runtime.demo_data import DEMO_DEPOSITS
from tests.cluster.node import Cluster
from tests.support.acknowledged import check_order, eventually, ledger, until_stored
from tests.support.stubborn_client import Intent, StubbornClient

READY_WITHIN_SECONDS: Final = 600.0
SCOPES: Final = ["read", "trade"]
_VERIFY_WITHIN_SECONDS: Final = 300.0


class OnCluster:
    """One Exchange resource. folder: for the keys of its users and the logs of its pods."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.name = name
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self._loads = 0

    # The engineer

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> dict[str, Any]:
        return self.cluster.get("-n", self.namespace, *arguments)

    def patch(self, change: dict[str, Any]) -> None:
        """Merge this into the resource."""
        self.kubectl("patch", "exchange", self.name, "--type=merge", "-p", json.dumps(change))

    def patch_symbols(self, change: Callable[[list[dict[str, Any]]], None]) -> None:
        """Edit spec.symbols."""
        symbols = self.resource()["spec"]["symbols"]
        change(symbols)
        self.patch({"spec": {"symbols": symbols}})

    def resource(self) -> dict[str, Any]:
        return self.get("exchange", self.name)

    def condition(self, kind: str) -> dict[str, Any]:
        """Of the resource's generation; empty when there is none yet."""
        found = self.resource()
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return {}
        return next((one for one in status.get("conditions", []) if one["type"] == kind), {})

    def is_condition(self, kind: str, status: str = "True") -> bool:
        return self.condition(kind).get("status") == status

    def is_settled(self) -> bool:
        """Whether everything is as the resource wants it."""
        return self.is_condition("Ready") and self.is_condition("Progressing", "False")

    def until(self, true: Callable[[], bool], what: str, within: float = READY_WITHIN_SECONDS) -> float:
        """Wait until it is true; returns how long that took. Raises AssertionError with all there is to know."""
        begin = time.monotonic()
        try:
            self.cluster.until(true, what, namespace=self.namespace, within=within)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{yaml.safe_dump(self.resource().get('status'))}") from None
        return time.monotonic() - begin

    def settle(self, within: float = READY_WITHIN_SECONDS) -> float:
        """Wait until everything is as wanted; returns how long that took."""
        return self.until(self.is_settled, "the Exchange is Ready, and nothing is in progress", within)

    def pods(self, component: str = "") -> list[dict[str, Any]]:
        """Of the exchange, or of one component, that are not on their way out."""
        selector = f"app.kubernetes.io/instance={self.name}"
        if component:
            selector += f",app.kubernetes.io/component={component}"
        found = self.get("pods", "-l", selector)["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def pod_names(self, component: str) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods(component)]

    def replace_pods(self, component: str) -> None:
        """Delete the pods of a component, and wait until there are as many new ones and all are ready."""
        before = {pod["metadata"]["uid"] for pod in self.pods(component)}
        self.kubectl("delete", "pod", *self.pod_names(component), "--wait=false")

        def replaced() -> bool:
            pods = self.pods(component)
            fresh = before.isdisjoint(pod["metadata"]["uid"] for pod in pods)
            return fresh and len(pods) == len(before) and all(map(_is_ready, pods))

        self.until(replaced, f"new pods of {component} are ready")

    def lives(self) -> dict[str, tuple[str, int]]:
        """By pod, what changes when it is made anew or restarted. Without what ran to its end."""
        return {
            pod["metadata"]["name"]: (
                pod["metadata"]["uid"],
                sum(one["restartCount"] for one in pod["status"].get("containerStatuses", [])),
            )
            for pod in self.pods()
            if pod["status"]["phase"] == "Running"
        }

    def verify(self) -> str:
        """`exchange verify`, in a pod of the exchange; returns what it printed. Raises AssertionError when it fails."""
        jobs = self.get("jobs", "-l", f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component=schema")
        spec = jobs["items"][0]["spec"]["template"]["spec"]
        gateway = self.get("deployment", f"{self.name}-gateway")["spec"]["template"]["spec"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"verify-{time.monotonic_ns()}", "labels": jobs["items"][0]["metadata"]["labels"]},
            "spec": gateway | {"restartPolicy": "Never", "containers": [_verifier(gateway["containers"][0])]},
        }
        pod["spec"]["securityContext"] = spec["securityContext"]
        name = pod["metadata"]["name"]
        self.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        done = {"Succeeded", "Failed"}
        self.until(lambda: self.get("pod", name)["status"]["phase"] in done, "verify ends", _VERIFY_WITHIN_SECONDS)
        said = self.kubectl("logs", name)
        phase = self.get("pod", name)["status"]["phase"]
        self.kubectl("delete", "pod", name, "--wait=false")
        assert phase == "Succeeded", said
        return said

    # The traders

    @property
    def url(self) -> str:
        """Of the gateways' Service."""
        service = self.get("service", f"{self.name}-gateway")["spec"]
        return f"http://{service['clusterIP']}:{service['ports'][0]['port']}"

    def administrator(self) -> dict[str, str]:
        """The first API key."""
        data = self.get("secret", f"{self.name}-keys")["data"]
        key: dict[str, str] = json.loads(base64.b64decode(data["credentials.json"]))["admin"]
        return key

    def open_accounts(self) -> None:
        """Give the demo's users keys and funds."""
        credentials: dict[str, Any] = {"admin": self.administrator(), "users": {str(user): {} for user in USERS}}
        self._keep(credentials)
        api = self.api()
        for user in USERS:
            api.post("/api/admin/users", {"user_id": user}, 0)
            credentials["users"][str(user)] = api.post(f"/api/admin/users/{user}/keys", {"scopes": SCOPES}, 0)
            for asset, amount in DEMO_DEPOSITS.items():
                deposit = {"transfer_id": f"demo_{user}_{asset}", "user_id": user, "asset": asset, "amount": amount}
                api.post("/api/transfers/in", deposit, 0)
        self._keep(credentials)

    def _keep(self, credentials: dict[str, Any]) -> None:
        (self.folder / "credentials.json").write_text(json.dumps(credentials))

    def api(self) -> Api:
        return Api(self.url, self.folder)

    def story(self) -> Any:
        """The whole trading day of `exchange demo`."""
        with self._following(), (self.folder / "story.txt").open("w") as file:
            return tell(self.url, self.folder, self.logs, Console(file=file, width=120))

    @contextmanager
    def _following(self) -> Iterator[None]:
        """The pods' logs in files, as the story reads them."""
        programs = []
        for pod in self.pods():
            name = pod["metadata"]["name"]
            file = (self.logs / f"{name}.log.now").open("wb")
            command = [*self.cluster.kubectl_command("-n", self.namespace), "logs", "-f", "--since=1s", name]
            programs.append(subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL))
        try:
            yield
        finally:
            for program in programs:
                program.kill()
                program.wait()

    @contextmanager
    def load(self) -> Iterator["Load"]:
        """Traders who never give up, and what they were told; checked at the end."""
        self._loads += 1
        load = Load(self, f"load{self._loads}")
        try:
            yield load
        finally:
            load.stop()
        load.check()

    def totals(self) -> dict[str, Any]:
        """What all users have together, by asset."""
        return owned(self.api())


class Load:
    """Random orders, cancels and transfers of the demo's users, as fast as each is answered."""

    def __init__(self, exchange: OnCluster, prefix: str) -> None:
        self._exchange = exchange
        self._prefix = prefix
        self._told = threading.Event()
        api = exchange.api()
        self.clients = [
            StubbornClient(exchange.url, api.token(who), who, who, self._told, prefix=prefix) for who in (0, *USERS)
        ]
        for client in self.clients:
            client.start()

    @property
    def done(self) -> list[Intent]:
        return [intent for client in self.clients for intent in list(client.done)]

    @property
    def failed(self) -> list[Intent]:
        """What was not answered at the first attempt: the connection broke, or the answer was 503 or 504."""
        return [intent for intent in self.done if intent.attempts > 1]

    def stop(self) -> None:
        self._told.set()
        for client in self.clients:
            client.join(120)

    def wait_for(self, count: int) -> None:
        """Return when that many more answers came."""
        before = len(self.done)
        eventually(lambda: len(self.done) >= before + count)

    def check(self) -> None:
        """Everything that was acknowledged is there, once and as it was acknowledged; nothing else is."""
        errors = [client.error for client in self.clients if client.error is not None]
        assert errors == [], errors
        assert all(not client.is_alive() for client in self.clients)
        api = self._exchange.api()
        done = self.done
        until_stored(api, done)
        self._check_orders(api, done)
        self._check_transfers(api, done)

    def _check_orders(self, api: Api, done: Sequence[Intent]) -> None:
        for user in USERS:
            rows = api.pages("/api/orders/history", "orders", "cursor", user, user_id=user)
            history = [order for order in rows if order["cid"].startswith(f"{self._prefix}-")]
            by_cid = {order["cid"]: order for order in history}
            assert len(by_cid) == len(history)
            placed = {intent.id: intent for intent in done if intent.kind == "order" and intent.user == user}
            assert set(by_cid) <= set(placed)
            for cid, intent in placed.items():
                if intent.answer is not None:
                    check_order(intent, by_cid[cid])

    def _check_transfers(self, api: Api, done: Sequence[Intent]) -> None:
        found: Counter[str] = Counter()
        for user in USERS:
            for asset in DEMO_DEPOSITS:
                references = [entry["reference"] for entry in ledger(api, user, asset)]
                found.update(one for one in references if one.startswith(f"{self._prefix}-"))
        completed = [intent.id for intent in done if intent.kind == "transfer" and intent.answer is not None]
        assert found == Counter(completed)


def is_refused(call: Callable[[], Any], reject: str) -> bool:
    """Whether the exchange refuses with this reject."""
    try:
        call()
    except Refusal as refusal:
        return refusal.reject == reject or reject in str(refusal)
    return False


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _verifier(container: dict[str, Any]) -> dict[str, Any]:
    """A gateway's container that verifies instead."""
    kept = {name: container[name] for name in ("image", "imagePullPolicy", "env", "volumeMounts", "securityContext")}
    return kept | {"name": "verify", "args": ["verify"]}
