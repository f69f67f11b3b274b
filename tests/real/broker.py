"""A real Kafka broker for tests: one node, no containers, its jars fetched by Maven once a machine.

Redpanda speaks the same protocol. Data and ports stay the same from start to start, so that clients find it again.
"""

import asyncio
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.real.jars import jars
from tests.real.server import READY_WITHIN_SECONDS, JavaServer, free_ports
from tests.support.certificates import self_signed

VERSION: Final = "4.1.0"
USER: Final = "exchange"
PASSWORD: Final = "a-password-for-tests"
_OPTIONS: Final = ("-Xms128m", "-Xmx512m", "-XX:TieredStopAtLevel=1")
_SCRAM: Final = ("SCRAM-SHA-256", "SCRAM-SHA-512")
_CLUSTER_ID: Final = "ZXhjaGFuZ2UtdGVzdHMtMQ"

# As small as it gets. A killed node is let in again after one second instead of nine.
_PROPERTIES: Final = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://{host}:{port},SECURE://{host}:{secure_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port},SECURE://{host}:{secure_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keystore}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config={modules}.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secure.scram-sha-256.sasl.jaas.config={modules}.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config={modules}.scram.ScramLoginModule required;
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


class Broker(JavaServer):
    """One broker on a folder of its own; ended by its own pid. host: the address of this machine that it listens on."""

    def __init__(self, folder: Path, *, host: str = "127.0.0.1") -> None:
        super().__init__("broker", folder, jars("kafka", VERSION), _OPTIONS)
        port, secure_port, controller_port = free_ports(3)
        self.address = f"{host}:{port}"
        self.secure_address = f"{host}:{secure_port}"
        """TLS with the certificate in `certificate`, and SASL with USER and PASSWORD."""
        self.certificate = folder / "certificate.pem"
        self._properties = folder / "server.properties"
        keystore = folder / "keystore.pem"
        certificate, key = self_signed(host)
        self.certificate.write_bytes(certificate)
        keystore.write_bytes(key + certificate)
        text = _PROPERTIES.format(
            host=host,
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
        if not (folder / "data" / "meta.properties").exists():
            tool = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(self._properties))
            scram = [f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]" for mechanism in _SCRAM]
            self._run_to_the_end(*tool, *scram)

    def _main(self) -> Sequence[str]:
        return "kafka.Kafka", str(self._properties)

    def _answers(self) -> bool:
        return asyncio.run(self._describes_itself())

    def _run_to_the_end(self, *arguments: str) -> None:
        done = subprocess.run(
            self._java(*arguments), capture_output=True, text=True, timeout=READY_WITHIN_SECONDS, check=False
        )
        assert done.returncode == 0, f"{arguments[0]} failed:\n{done.stdout}{done.stderr}"

    async def _describes_itself(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address, request_timeout_ms=2_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, TimeoutError, OSError):
            return False
        finally:
            await admin.close()
