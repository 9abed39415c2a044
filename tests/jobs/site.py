"""A running instance in the hands of a test of a job: real broker, real worker, real commands."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from models.control import DEFAULTS
from producers.publish import Accepted, Publisher
from schemas import topics
from schemas.apply import Cluster
from schemas.topics import Topic
from streams.runtime import Control
from streams.runtime.follower import Follower
from tests.faults.waiting import until
from tests.worker import serving
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.log import messages
from watchfloor.settings import Settings


def decoded(topic: Topic, values: Any) -> list[dict[str, Any]]:
    return [topic.codec.decode(value) for value in values if value is not None]


class Instance:
    """What a test does with it."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self.kafka, self.prefix = kafka, prefix

    def log(self, topic: Topic) -> list[dict[str, Any]]:
        return decoded(
            topic, (each.value() for each in messages(self.kafka, self.prefix + topic.name, 0, follow=False))
        )

    def publish(self, topic: Topic, records: list[dict[str, Any]]) -> None:
        with Publisher(self.kafka, prefix=self.prefix) as publisher:
            assert all(isinstance(each, Accepted) for each in publisher.publish(topic, records))

    def watchfloor(self, *arguments: str) -> str:
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def control(self) -> Control:
        async def read() -> Control:
            async with Follower(self.kafka, topics.CONTROL, prefix=self.prefix, defaults=DEFAULTS) as follower:
                return follower.control

        return asyncio.run(read())


AGENTS = ("control", "metrics", "alerts")
"""What the jobs under test speak with; each further agent makes the start longer."""


@contextmanager
def worker(kafka: str, prefix: str, home: Path) -> Iterator[None]:
    """Topics, a worker, and the settings of the commands."""
    names = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": prefix, "WATCHFLOOR_HOME": str(home), "COLUMNS": "200"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        Cluster(kafka).apply(all_wanted(Settings()))
        with serving(names, *AGENTS) as process:
            until(lambda: all(process.said(f"{name}[0] open") for name in AGENTS), 60, "the worker")
            yield
