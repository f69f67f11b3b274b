"""The whole distributed form on this machine: a real broker, a real database, and every service as a real process.

    with Stack(folder) as stack:            # started, ready
        stack.kill("ubscore-0")             # by name: broker, database, gateway-0, ubscore-0, matcher-0,
        stack.restart("ubscore-0")          #   settlement-0, order-history-0, ubscore-0-standby …

Everything is in the folder: exchange.yaml, secret.key and credentials.json, data/NAME (of each core), logs (the JSON
logs of all), output/NAME.out (what each printed).
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self

from services.runtime.credentials import CREDENTIALS_FILE, KEY_FILE, load_credentials, load_secrets
from services.runtime.demo_data import DEMO_USERS
from tests.real.broker import Broker
from tests.real.database import Database
from tests.real.server import Server
from tests.support.exchange_process import free_port
from tests.support.namespaces import Network
from tests.support.processes import run
from tests.support.service_process import READY_WITHIN_SECONDS, ServiceProcess

BROKER: Final = "broker"
DATABASE: Final = "database"
_LOOK_SECONDS: Final = 0.05
_STOP_ORDER: Final = ("gateway", "ubscore", "matcher", "settlement", "order-history")


class Stack:
    """Nothing runs before `start`; `stop` ends all of it.

    broker, database: used, and left running, when given; else it has its own. prefix: of topics, and the keyspace's
    name, so that several share them. alike: the gateways all have the number 0, as the pods of a Deployment. standby:
    one of each core shard. supervised: what ends without being told to is started again, as Kubernetes does. detached:
    processes go on when this one ends. settings: more of exchange.yaml.
    """

    def __init__(
        self,
        folder: Path,
        *,
        account_shards: int = 1,
        matcher_shards: int = 1,
        gateways: int = 1,
        alike: bool = False,
        standby: bool = False,
        supervised: bool = False,
        detached: bool = False,
        broker: Broker | None = None,
        database: Database | None = None,
        prefix: str = "trading",
        port: int = 0,
        host: str = "127.0.0.1",
        settings: Mapping[str, Any] | None = None,
        network: Network | None = None,
        apart: Collection[str] = (),
    ) -> None:
        self.folder = folder
        self._network = network
        self._apart = apart
        inside = network.address if network is not None else "127.0.0.1"
        self.config = folder / "exchange.yaml"
        self.log_dir = folder / "logs"
        self.processes: dict[str, ServiceProcess] = {}
        self.ended: Counter[str] = Counter()
        """How often a process ended, or was killed, without being told to stop; by name."""
        for sub in (self.log_dir, folder / "output", folder / "data"):
            sub.mkdir(parents=True, exist_ok=True)
        load_secrets(folder)
        self.credentials = load_credentials(folder, DEMO_USERS)
        self._owned: list[Server] = []
        self.broker = broker or self._own(Broker(folder / BROKER, host=inside), detached)
        self.database = database or self._own(Database(folder / DATABASE, host=inside), detached)
        self._supervisor = _Supervisor(self) if supervised else None
        shards = {"ubscore": account_shards, "matcher": matcher_shards}
        addresses = self._make_cores(shards, standby, detached)
        self._make_others([0] * gateways if alike else list(range(gateways)), host, port, detached)
        self._write_config(prefix, shards, addresses, settings or {})

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # The parts

    @property
    def url(self) -> str:
        """Of the first gateway's REST API."""
        return self.urls[0]

    def server(self, name: str) -> Any:
        """A process, the broker or the database, by its name."""
        return {BROKER: self.broker, DATABASE: self.database}.get(name) or self.processes[name]

    @property
    def stop_order(self) -> list[str]:
        """The processes as they are to be stopped: no new orders first, then the cores, then who follows them."""
        return [name for service in _STOP_ORDER for name in self.processes if name.startswith(service)]

    def _own(self, server: Any, detached: bool) -> Any:
        server.detached = detached
        self._owned.append(server)
        return server

    def _make_cores(self, shards: Mapping[str, int], standby: bool, detached: bool) -> dict[str, list[list[str]]]:
        """Returns the addresses, by service and shard."""
        addresses: dict[str, list[list[str]]] = {service: [] for service in shards}
        for service, count in shards.items():
            for shard in range(count):
                name = f"{service}-{shard}"
                instances = [name, f"{name}-standby"] if standby else [name]
                for instance in instances:
                    more = ["--standby"] if instance != name else []
                    data = ["--data-dir", str(self.folder / "data" / instance)]
                    self._make(instance, [service, "--shard", str(shard), *data, *more], detached)
                addresses[service].append([self.processes[instance].url for instance in instances])
        return addresses

    def _make_others(self, gateways: list[int], host: str, port: int, detached: bool) -> None:
        for name in ("settlement", "order-history"):
            self._make(f"{name}-0", [name], detached)
        self.urls = []
        for place, number in enumerate(gateways):
            name, own = f"gateway-{place}", port if port and place == 0 else free_port()
            at = host if self._network is None else self._place(name)["host"]
            self.urls.append(f"http://{at}:{own}")
            self._make(name, ["gateway", "--shard", str(number), "--demo", "--host", at, "--port", str(own)], detached)

    def _make(self, name: str, arguments: list[str], detached: bool) -> None:
        self.processes[name] = ServiceProcess(
            name,
            [*arguments, "--config", str(self.config)],
            free_port(),
            self.folder / "output",
            detached=detached,
            **self._place(name),
            LOG_DIR=str(self.log_dir),
        )

    def _place(self, name: str) -> dict[str, Any]:
        """The address of a process, and what makes it run there."""
        if self._network is None:
            return {}
        if name not in self._apart:
            return {"host": self._network.address}
        return {"host": self._network.add_host(name), "within": self._network.command(name)}

    def _write_config(
        self,
        prefix: str,
        shards: Mapping[str, int],
        addresses: Mapping[str, list[list[str]]],
        more: Mapping[str, Any],
    ) -> None:
        config: dict[str, Any] = {
            "broker": {"bootstrapServers": [self.broker.address], "topicPrefix": f"{prefix}."},
            "database": {
                "contactPoints": [self.database.host],
                "port": self.database.port,
                "keyspace": prefix.replace("-", "_"),
            },
            "auth": {
                "secretKeyFile": str(self.folder / KEY_FILE),
                "credentialsFile": str(self.folder / CREDENTIALS_FILE),
            },
        }
        for service, count in shards.items():
            config[service] = {"shards": count, "addresses": addresses[service]}
        for section, name in (("settlement", "settlement-0"), ("orderHistory", "order-history-0")):
            config[section] = {"addresses": [self.processes[name].url]}
        for section, values in more.items():
            config[section] = config[section] | values if section in config else values
        # JSON is YAML.
        self.config.write_text(json.dumps(config, indent=2) + "\n")

    # Its life

    def start(self) -> None:
        """Start all that does not run, each when what it stands on is there; return when all of it is ready."""
        with ThreadPoolExecutor(2) as pool:
            for done in (pool.submit(self._start_on_broker), pool.submit(self._start_database)):
                done.result()
        self.restart(*self.processes)
        self.wait_ready()
        if self._supervisor is not None:
            self._supervisor.start()

    def _start_on_broker(self) -> None:
        """The broker, the topics, and the cores, which need no database."""
        if self.broker in self._owned:
            self.restart(BROKER)
        self._apply("topics")
        self.restart(*[name for name in self.processes if name.startswith(("ubscore", "matcher"))])

    def _start_database(self) -> None:
        if self.database in self._owned:
            self.restart(DATABASE)
        self._apply("schema")

    def _apply(self, what: str) -> None:
        applied = run(what, "apply", "--config", self.config)
        assert applied.returncode == 0, applied.stdout + applied.stderr

    def wait_ready(self, *names: str, within_s: float = READY_WITHIN_SECONDS) -> None:
        """Return when these processes, or all of them, say that they are ready."""
        deadline = time.monotonic() + within_s
        for name in names or self.processes:
            self.processes[name].wait_ready(max(1.0, deadline - time.monotonic()))

    def kill(self, *names: str) -> None:
        """kill -9, at once; a supervisor starts processes again."""
        # Held on to: the supervisor may have put others in their places by then.
        processes = [self.server(name).process for name in names]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def restart(self, *names: str) -> None:
        """Start what was killed or stopped. Returns at once, except for the broker and the database."""
        for name in names:
            if not _runs(self.server(name)):
                self.server(name).start()

    def freeze(self, *names: str) -> None:
        """SIGSTOP."""
        for name in names:
            self.server(name).freeze()

    def thaw(self, *names: str) -> None:
        """SIGCONT."""
        for name in names:
            self.server(name).thaw()

    def cut(self, name: str) -> None:
        """Cut the network of a process that stands apart."""
        assert self._network is not None
        self._network.cut(name)

    def mend(self, name: str) -> None:
        """Join it again."""
        assert self._network is not None
        self._network.mend(name)

    def stop_process(self, name: str) -> int:
        """Ask a process to stop in order, for good; returns its exit status."""
        if self._supervisor is not None:
            self._supervisor.leave(name)
        return self.processes[name].stop()

    def stop(self) -> dict[str, int]:
        """Ask all processes to stop in order, gateways first; then end broker and database. Returns exit statuses."""
        if self._supervisor is not None:
            self._supervisor.end()
        statuses = {name: self.processes[name].stop() for name in self.stop_order if self.processes[name].is_running}
        self.end()
        return statuses

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        if self._supervisor is not None:
            self._supervisor.end()
        for process in (*self.processes.values(), *self._owned):
            process.end()

    def output(self) -> str:
        """The end of what every process printed, for a failing test."""
        return "\n".join(f"== {name}\n{process.output}" for name, process in self.processes.items())


class _Supervisor:
    """Starts again what ended."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._left: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        if not self._thread.is_alive() and not self._over.is_set():
            self._thread.start()

    def leave(self, name: str) -> None:
        """Start this one no more."""
        self._left.add(name)

    def end(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for name, process in self._stack.processes.items():
                if not process.is_running and name not in self._left and not self._over.is_set():
                    self._stack.ended[name] += 1
                    process.start()


def _runs(server: Any) -> bool:
    process = server._process
    return process is not None and process.poll() is None
