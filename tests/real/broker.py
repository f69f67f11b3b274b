"""A real Kafka broker for tests: one node, no containers, its jars fetched by Maven once a machine.

Redpanda speaks the same protocol. Data and ports stay the same from start to start, so that clients find it again.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.support.certificates import self_signed
from tests.support.exchange_process import free_port

VERSION: Final = "4.1.0"
READY_WITHIN_SECONDS: Final = 60.0
STOPS_WITHIN_SECONDS: Final = 30.0
USER: Final = "exchange"
PASSWORD: Final = "a-password-for-tests"
_DOWNLOAD_WITHIN_SECONDS: Final = 600
_POLL_SECONDS: Final = 0.05
_CLUSTER_ID: Final = "ZXhjaGFuZ2UtdGVzdHMtMQ"
_POM: Final = Path(__file__).with_name("pom.xml")
_PACKAGES: Final = ("openjdk-17-jre-headless", "maven")
_INSTALL: Final = f"apt-get install -y --no-install-recommends {' '.join(_PACKAGES)}"

# As small as it gets. A killed node is let in again after one second instead of nine.
_PROPERTIES: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SECURE://127.0.0.1:{secure_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keystore}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.secure.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secure.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
log.dirs={data}
num.network.threads=1
num.io.threads=2
background.threads=1
num.recovery.threads.per.data.dir=1
log.cleaner.enable=false
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.heartbeat.interval.ms=200
broker.session.timeout.ms=1000
"""


class Broker:
    """One broker on a folder of its own; ended by its own pid."""

    def __init__(self, folder: Path) -> None:
        port, secure_port, controller_port = _ports(3)
        self.address = f"127.0.0.1:{port}"
        self.secure_address = f"127.0.0.1:{secure_port}"
        """TLS with the certificate in `certificate`, and SASL with USER and PASSWORD."""
        self.certificate = folder / "certificate.pem"
        self._jars = jars()
        self._properties = folder / "server.properties"
        self._output = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        keystore = folder / "keystore.pem"
        certificate, key = self_signed()
        self.certificate.write_bytes(certificate)
        keystore.write_bytes(key + certificate)
        text = _PROPERTIES.format(
            port=port,
            secure_port=secure_port,
            controller_port=controller_port,
            data=folder / "data",
            keystore=keystore,
            modules="org.apache.kafka.common.security",
            user=USER,
            password=PASSWORD,
        )
        self._properties.write_text(text)
        scram = f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"
        tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._properties))
        self._run_to_the_end(*tool, "--add-scram", scram)

    def start(self) -> None:
        """Start it, and return once it answers a client."""
        with self._output.open("ab") as output:
            command = self._java("kafka.Kafka", str(self._properties))
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_WITHIN_SECONDS
        while not asyncio.run(self._answers()):
            if self.process.poll() is not None:
                raise AssertionError(f"the broker ended with {self.process.returncode}:\n{self._said()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"the broker is not ready after {READY_WITHIN_SECONDS} s:\n{self._said()}")
            time.sleep(_POLL_SECONDS)

    def kill(self) -> None:
        """kill -9: it gets no chance to do anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def stop(self) -> None:
        """Ask it to stop in order."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOPS_WITHIN_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Whatever happened before, leave nothing running."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def _java(self, *arguments: str) -> list[str]:
        # One garbage collector thread and the quick compiler: it shares the machine with the tests.
        options = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        return ["java", *options, "-cp", f"{self._jars}/*", *arguments]

    def _run_to_the_end(self, *arguments: str) -> None:
        done = subprocess.run(
            self._java(*arguments), capture_output=True, text=True, timeout=READY_WITHIN_SECONDS, check=False
        )
        assert done.returncode == 0, f"{arguments[0]} failed:\n{done.stdout}{done.stderr}"

    def _said(self) -> str:
        return self._output.read_text(errors="replace")[-4_000:]

    async def _answers(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=2_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, TimeoutError, OSError):
            return False
        finally:
            await admin.close()


def _ports(count: int) -> list[int]:
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(free_port())
    return list(ports)


def jars() -> Path:
    """The folder with the broker's jars, downloaded by the first who asks. Raises when Java or Maven is missing."""
    _require_programs()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "exchange-platform"
    folder = cache / f"kafka-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"kafka-{VERSION}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _download(folder)
    return folder


def _download(folder: Path) -> None:
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={part}", f"-Dkafka.version={VERSION}"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=_DOWNLOAD_WITHIN_SECONDS, check=False
    )
    assert done.returncode == 0, f"the broker's jars cannot be downloaded:\n{done.stdout}{done.stderr}"
    part.rename(folder)


def _require_programs() -> None:
    if _missing() and os.geteuid() == 0 and shutil.which("apt-get"):
        for arguments in (["apt-get", "update"], _INSTALL.split()):
            subprocess.run(arguments, capture_output=True, timeout=_DOWNLOAD_WITHIN_SECONDS, check=False)
    if missing := _missing():
        raise AssertionError(
            f"the tests need a real broker, and {' and '.join(missing)} cannot be found. On Debian: {_INSTALL}"
        )


def _missing() -> list[str]:
    return [program for program in ("java", "mvn") if shutil.which(program) is None]
