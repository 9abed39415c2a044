"""A whole system of real processes in one folder: broker, database, workers, sinks."""

import json
import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from confluent_kafka.admin import AdminClient, NewTopic

from schemas import topics
from schemas.apply import BROKER_TIME
from streams.runtime.agent import Agent
from tests.faults.processes import Process
from tests.faults.tables import Database
from watchfloor.embedded.clickhouse import Engine
from watchfloor.embedded.kafka import Broker

START_LIMIT_S = 180.0


class Cluster:
    """Broker and database of one home folder; workers and sinks of one scenario at a time, under its prefix.

    Everything is a process that can be killed; `kill` and `start` of a server keep its data and its port.
    """

    def __init__(self, home: Path, session_timeout_ms: int = 10_000, database: bool = True) -> None:
        self.home = home
        self.session_timeout_ms = session_timeout_ms
        self.broker = Broker(home)
        # After a kill, under full load and on a machine that does other things besides, they take their time.
        self.broker.start_limit_s = START_LIMIT_S
        self.database = Engine(home)
        self.needed = (self.broker, self.database) if database else (self.broker,)
        self.secret = secrets.token_hex(32)  # of fingerprints, and of sealed dead letters
        self.prefix = ""
        self.partitions = 4
        self.processes: dict[str, Process] = {}

    def __enter__(self) -> Self:
        self.revive()
        return self

    def revive(self) -> None:
        """Start the servers that do not run: at first, and after a scenario that broke off while one was away."""
        for server in self.needed:
            if not server.alive:
                server.start()

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        self.database.stop()
        self.broker.stop()

    @property
    def servers(self) -> str:
        return self.broker.address

    @property
    def database_name(self) -> str:
        return "faults_" + "".join(char if char.isalnum() else "_" for char in self.prefix)

    @property
    def models(self) -> str:
        """Where versions of models are stored."""
        return str(self.home / "models")

    @property
    def trusted(self) -> Path:
        """The keys whose models workers load."""
        return self.home / "trusted-keys"

    def environment(self) -> dict[str, str]:
        return {
            "WATCHFLOOR_HOME": str(self.home),
            "WATCHFLOOR_KAFKA": self.servers,
            "WATCHFLOOR_PREFIX": self.prefix,
            "WATCHFLOOR_PARTITIONS": str(self.partitions),
            "WATCHFLOOR_SESSION_TIMEOUT_MS": str(self.session_timeout_ms),
            "WATCHFLOOR_CLICKHOUSE": self.database.url,
            "WATCHFLOOR_CLICKHOUSE_USER": self.database.user,
            "WATCHFLOOR_CLICKHOUSE_PASSWORD": self.database.password,
            "WATCHFLOOR_DATABASE": self.database_name,
            "WATCHFLOOR_MODELS": self.models,
            "WATCHFLOOR_TRUSTED_KEYS": str(self.trusted),
            "WATCHFLOOR_OCR_SECRET": self.secret,
            "WATCHFLOOR_LETTER_SECRET": self.secret,
        }

    # -- topics -------------------------------------------------------------------------------------------

    def prepare(self, prefix: str, partitions: int, agents: Iterable[Agent]) -> None:
        """A fresh prefix with the topics that the agents need; their changelogs keep every record."""
        self.prefix, self.partitions = prefix, partitions
        agents = list(agents)
        own = {topics.DEAD_LETTERS.name: topics.DEAD_LETTERS.partitions}
        sent: set[str] = set()
        for agent in agents:
            own |= {topic.name: topic.partitions for topic in (*agent.inputs, *agent.outputs)}
            own[agent.changelog] = agent.input.partitions
            sent |= {topic.name for topic in agent.inputs if not topic.by_broker}
        keep = {"cleanup.policy": "delete", "retention.ms": "-1"}
        self.create(
            NewTopic(prefix + name, own[name] or partitions, 1, config=keep | ({} if name in sent else BROKER_TIME))
            for name in sorted(own)
        )

    def create(self, new: Iterable[NewTopic]) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        for made in admin.create_topics(list(new), operation_timeout=30).values():
            made.result(30)

    def remove(self) -> None:
        """Delete the prefix's topics: a broker with many partitions takes long to come back."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        names = [name for name in admin.list_topics(timeout=20).topics if name.startswith(self.prefix)]
        for gone in admin.delete_topics(names, operation_timeout=30).values():
            gone.result(30)

    # -- tables -------------------------------------------------------------------------------------------

    def migrate(self) -> None:
        """A fresh database of this prefix with the product's tables. Raises CalledProcessError."""
        command = [sys.executable, "-m", "watchfloor", "db", "migrate"]
        subprocess.run(command, env={**os.environ, **self.environment()}, check=True, capture_output=True)

    @property
    def tables(self) -> Database:
        return Database(self.database.url, self.database.user, self.database.password, self.database_name)

    # -- processes ----------------------------------------------------------------------------------------

    def python(self, name: str, arguments: list[str], **more: str) -> Process:
        """A process of this Python, started."""
        process = Process(
            name,
            [sys.executable, *arguments],
            self.environment() | more,
            self.home / "logs" / f"{self.prefix}{name}.log",
        )
        self.processes[name] = process
        process.start()
        return process

    def named(self, kind: str) -> list[Process]:
        """The running processes whose name starts with `kind`, for example worker or sink."""
        return [one for name, one in self.processes.items() if name.startswith(kind) and one.alive]

    def any(self, kind: str, draw: random.Random) -> Process:
        return draw.choice(self.named(kind))

    def figures(self, name: str) -> str | None:
        """Address of a process's Prometheus figures, once it has written where they are."""
        path = self.home / "run" / f"{name}.json"
        if not path.exists():
            return None
        return str(json.loads(path.read_text())["metrics"])

    def stop_processes(self) -> list[str]:
        """End workers and sinks in order. Returns the names of those that had to be killed."""
        late = [process.name for process in self.processes.values() if not process.stop()]
        self.processes.clear()
        return late


def default_home() -> Path:
    return Path(os.environ.get("WATCHFLOOR_FAULTS_HOME", ".watchfloor/faults")).absolute()
