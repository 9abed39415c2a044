"""A real Kafka broker on this machine: one KRaft node, its data in one folder, its ports kept across restarts."""

import base64
import re
import socket
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from watchfloor.embedded.jars import KAFKA_VERSION, jars, java
from watchfloor.embedded.ports import free_port
from watchfloor.embedded.server import Server, ServerError

LOGGING = Path(__file__).with_name("log4j2.properties")

SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "inter.broker.listener.name": "PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # Topics come from the catalogue, never from a misspelt name.
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # A record of 10 MB must reach the dead letters instead of blocking its producer.
    "message.max.bytes": str(16 * 1024 * 1024),
    "replica.fetch.max.bytes": str(16 * 1024 * 1024),
    # How long readers of committed records can be held up by a dead writer beyond its transaction timeout.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # One machine: few threads, small preallocations, deleted topics gone soon, a quick way back after a crash.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "4",
    "num.recovery.threads.per.data.dir": "2",
    "log.index.size.max.bytes": str(1024 * 1024),
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "log.segment.delete.delay.ms": "1000",
    # A broker killed by force is let in again only when its last session is over.
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "1000",
}


class Broker(Server):
    """The broker of one home folder, in HOME/kafka.

    `port` 0 takes the port of the last time when it is free, else a free one; a given port is used or refused.
    """

    name = "kafka"
    what = f"Kafka {KAFKA_VERSION} broker"

    def __init__(self, home: Path, port: int = 0, heap_mb: int = 768) -> None:
        super().__init__(home / "kafka")
        self.home = home
        self.heap_mb = heap_mb
        self.wanted = port
        self.port = port
        self.controller_port = 0

    @property
    def address(self) -> str:
        """What clients take as bootstrap servers."""
        return f"127.0.0.1:{self.port}"

    @property
    def where(self) -> str:
        return self.address

    @property
    def configuration(self) -> Path:
        return self.folder / "server.properties"

    def prepare(self) -> None:
        """Chooses the ports, writes the configuration and, the first time, formats the data folder.

        Raises JavaError without Java or jars, ServerError when the given port is taken or formatting fails.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        old = re.findall(r"^listeners=.*?:(\d+),.*?:(\d+)$", self.written(), re.MULTILINE)
        port, controller_port = map(int, old[0]) if old else (0, 0)
        self.port = free_port(self.port or port)
        if self.wanted and self.port != self.wanted:
            raise ServerError(f"Port {self.wanted} is taken by another process; give Kafka another one or end that.")
        self.controller_port = free_port(self.controller_port or controller_port)
        addresses = {
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.folder / "data"),
        }
        lines = [f"{key}={value}\n" for key, value in (SETTINGS | addresses).items()]
        self.configuration.write_text("".join(lines))
        if not (self.folder / "data" / "meta.properties").exists():
            self.format()

    def written(self) -> str:
        return self.configuration.read_text() if self.configuration.exists() else ""

    def format(self) -> None:
        """Gives the data folder its cluster id, which Kafka wants before the first start."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        arguments = ["format", "--ignore-formatted", "-t", cluster, "-c", str(self.configuration)]
        done = subprocess.run(
            # Over before the second compiler would pay.
            self.java(64, "kafka.tools.StorageTool", *arguments, options=["-XX:TieredStopAtLevel=1"]),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"Kafka's data folder could not be made: {(done.stdout + done.stderr)[-2000:]}")

    def command(self) -> list[str]:
        return self.java(self.heap_mb, "kafka.Kafka", str(self.configuration))

    def java(self, heap_mb: int, main: str, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        options = [
            *options,
            "-XX:+UseSerialGC",
            f"-Xms{min(128, heap_mb)}m",
            f"-Xmx{heap_mb}m",
            "-XX:+ExitOnOutOfMemoryError",
        ]
        options += ["-XX:-UsePerfData", "-Djava.awt.headless=true", f"-Dlog4j2.configurationFile={LOGGING}"]
        return [java(), *options, "-cp", f"{jars(self.home)}/*", main, *arguments]

    def answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(0.5)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        admin = AdminClient({"bootstrap.servers": self.address, "log_level": 0})
        try:
            return bool(admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False
