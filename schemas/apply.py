"""Making a Kafka cluster match the topic catalogue, without ever destroying records or moving keys."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from schemas.topics import Topic

LIMIT_S = 30.0
FOREVER = "-1"
# Small segments, because only closed ones are compacted: a restore reads what compaction has left.
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "segment.ms": str(10 * 60_000),
    "min.cleanable.dirty.ratio": "0.2",
}

SEGMENT_MS, AHEAD_MS, SWEEP_MS = 30 * 60_000, 60 * 60_000, 30 * 60_000
"""Kafka deletes whole segments, by their newest record: one that lies in the same segment as newer ones, or as one
whose sender's clock is ahead, outlives its retention; and it looks every few minutes. Where no record may be older than
the topic says, segments are short, clocks are at most an hour ahead, and retention is less by all of that."""

BROKER_TIME = {"message.timestamp.type": "LogAppendTime"}
"""Of topics whose records carry the time at which they came; see `Topic.by_broker`."""


class TopicsRefused(Exception):
    """Changes that would destroy records or move keys; `reasons` says in plain words what to do instead."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be. `keyed`: records of one key must stay in one partition."""

    name: str
    partitions: int
    replication: int
    keyed: bool
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is in the cluster."""

    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done: topics to create, partitions to add, settings to change; and what is refused."""

    create: tuple[Wanted, ...] = ()
    grow: tuple[Wanted, ...] = ()
    change: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The steps in plain words."""
        return [
            *(
                f"create {topic.name} with {topic.partitions} partitions, {_listed(topic.config)}"
                for topic in self.create
            ),
            *(f"add partitions to {topic.name}, to have {topic.partitions}" for topic in self.grow),
            *(
                f"change {setting} of {name} from {old} to {new}"
                for name, settings in self.change.items()
                for setting, (old, new) in settings.items()
            ),
        ]


def wanted(
    topics: Iterable[Topic],
    changelogs: Mapping[str, int | None],
    *,
    prefix: str = "",
    partitions: int,
    replication: int,
    forever: bool = False,
) -> list[Wanted]:
    """The topics that a cluster should have.

    Args:
        topics: the public topics.
        changelogs: names of the agents' changelogs, with the partitions of the agent's input where it sets them.
        partitions: of every topic that does not set its own: outputs and state keep the partition number of the input.
        forever: keep records without end, for isolated prefixes whose records carry old timestamps.
    """
    safe = {"min.insync.replicas": "2"} if replication >= 3 else {}

    def public(topic: Topic) -> Wanted:
        if topic.retention_ms is None:
            config = {**COMPACTED, **safe}
        else:
            late = SEGMENT_MS + AHEAD_MS + SWEEP_MS if topic.personal else 0
            retention = FOREVER if forever else str(topic.retention_ms - late)
            config = {"cleanup.policy": "delete", "retention.ms": retention, **safe}
            if topic.personal:
                config |= {"segment.ms": str(SEGMENT_MS), "message.timestamp.after.max.ms": str(AHEAD_MS)}
        if topic.by_broker:
            config |= BROKER_TIME
        if topic.max_message_bytes:
            config["max.message.bytes"] = str(topic.max_message_bytes)
        return Wanted(prefix + topic.name, topic.partitions or partitions, replication, topic.key is not None, config)

    state = [
        Wanted(prefix + name, own or partitions, replication, True, {**COMPACTED, **BROKER_TIME, **safe})
        for name, own in changelogs.items()
    ]
    return [*(public(topic) for topic in topics), *state]


def plan(topics: Iterable[Wanted], found: Mapping[str, Found]) -> Plan:
    """Compare what is wanted with what is there. Topics that nobody asked for are left alone."""
    create: list[Wanted] = []
    grow: list[Wanted] = []
    change: dict[str, dict[str, tuple[str, str]]] = {}
    refused: list[str] = []
    for topic in topics:
        there = found.get(topic.name)
        if there is None:
            create.append(topic)
            continue
        if there.partitions != topic.partitions:
            reason = _partitions_refused(topic, there)
            if reason:
                refused.append(reason)
            else:
                grow.append(topic)
        for setting, new in topic.config.items():
            old = there.config.get(setting, "")
            if old == new:
                continue
            reason = _change_refused(topic.name, setting, old, new)
            if reason:
                refused.append(reason)
            else:
                change.setdefault(topic.name, {})[setting] = (old, new)
    return Plan(tuple(create), tuple(grow), change, tuple(refused))


def _partitions_refused(topic: Wanted, there: Found) -> str:
    numbers = f"{topic.name} has {there.partitions} partitions, {topic.partitions} are wanted"
    keep = f"set WATCHFLOOR_PARTITIONS={there.partitions} to keep them, or use another WATCHFLOOR_PREFIX"
    if topic.partitions < there.partitions:
        return f"{numbers}: Kafka cannot remove partitions without their records; {keep}"
    if topic.keyed:
        return f"{numbers}: its keys would move to other partitions, away from their state and order; {keep}"
    return ""


def _change_refused(name: str, setting: str, old: str, new: str) -> str:
    if setting == "cleanup.policy":
        return (
            f"{name} has cleanup.policy={old}, {new} is wanted: that would delete records which are still needed; "
            f"copy what you need, delete the topic by hand and apply again, or use another WATCHFLOOR_PREFIX"
        )
    if setting == "retention.ms" and new != FOREVER and (old == FOREVER or int(new) < int(old)):
        return (
            f"{name} keeps records for {_days(old)}, {_days(new)} are wanted: older records would be deleted at once; "
            f"if that is meant, set retention.ms={new} by hand: "
            f"kafka-configs.sh --alter --topic {name} --add-config retention.ms={new}"
        )
    return ""


def _days(milliseconds: str) -> str:
    return "ever" if milliseconds == FOREVER else f"{int(milliseconds) / 86_400_000:g} days"


def _listed(config: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in config.items())


class Cluster:
    """A Kafka cluster's topics. Every call ends within its time limit; KafkaException says what went wrong.

    Args:
        servers: host:port, separated by commas.
        limit_s: seconds for each request.
    """

    def __init__(self, servers: str, limit_s: float = LIMIT_S) -> None:
        self.servers = servers
        self.limit_s = limit_s
        self.admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})

    def partitions(self) -> dict[str, int]:
        """Every topic whose partitions all have a leader, and their number."""
        topics = self.admin.list_topics(timeout=self.limit_s).topics
        return {
            name: len(topic.partitions)
            for name, topic in topics.items()
            if topic.error is None and all(p.error is None and p.leader >= 0 for p in topic.partitions.values())
        }

    def found(self, names: Iterable[str]) -> dict[str, Found]:
        """Those of the named topics that exist."""
        topics = self.admin.list_topics(timeout=self.limit_s).topics
        counts = {name: len(topics[name].partitions) for name in names if name in topics}
        configs = self._results(
            self.admin.describe_configs(
                [ConfigResource(ResourceType.TOPIC, name) for name in counts], request_timeout=self.limit_s
            )
            if counts
            else {}
        )
        return {
            resource.name: Found(counts[resource.name], {name: entry.value for name, entry in entries.items()})
            for resource, entries in configs.items()
        }

    def plan(self, topics: Iterable[Wanted]) -> Plan:
        """What would have to be done."""
        topics = list(topics)
        return plan(topics, self.found(topic.name for topic in topics))

    def apply(self, topics: Iterable[Wanted]) -> Plan:
        """Make the cluster match, wait until the topics are known, and return what was done.

        Raises TopicsRefused, with nothing changed, when any change would destroy records or move keys.
        """
        topics = list(topics)
        todo = self.plan(topics)
        if todo.refused:
            raise TopicsRefused(list(todo.refused))
        limits = {"operation_timeout": self.limit_s, "request_timeout": self.limit_s}
        if todo.create:
            new = [NewTopic(t.name, t.partitions, t.replication, config=dict(t.config)) for t in todo.create]
            # Another process may have created them meanwhile: then the wait below sees whether they fit.
            self._results(self.admin.create_topics(new, **limits), allow=KafkaError.TOPIC_ALREADY_EXISTS)
        if todo.grow:
            more = [NewPartitions(topic.name, topic.partitions) for topic in todo.grow]
            self._results(self.admin.create_partitions(more, **limits))
        if todo.change:
            resources = [
                ConfigResource(
                    ResourceType.TOPIC,
                    name,
                    incremental_configs=[
                        ConfigEntry(setting, new, incremental_operation=AlterConfigOpType.SET)
                        for setting, (_, new) in settings.items()
                    ],
                )
                for name, settings in todo.change.items()
            ]
            self._results(self.admin.incremental_alter_configs(resources, request_timeout=self.limit_s))
        self.wait(topics)
        return todo

    def wait(self, topics: Iterable[Wanted]) -> None:
        """Wait until the brokers know the topics as they should be, and all partitions have leaders.

        Raises TimeoutError, which says what is still missing.
        """
        topics = list(topics)
        deadline = time.monotonic() + self.limit_s
        while True:
            led = self.partitions()
            missing = [f"{t.name} has not all leaders" for t in topics if led.get(t.name) != t.partitions]
            if not missing:
                missing = self.plan(topics).lines()
            if not missing:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {self.limit_s:g} s the cluster at {self.servers}: {'; '.join(missing)}")
            time.sleep(0.05)

    def _results(self, futures: Mapping[Any, "Future[Any]"], allow: int | None = None) -> dict[Any, Any]:
        results: dict[Any, Any] = {}
        for key, future in futures.items():
            try:
                results[key] = future.result(self.limit_s + 5)
            except KafkaException as error:
                if error.args[0].code() != allow:
                    raise
        return results
