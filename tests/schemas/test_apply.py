"""`topics apply`: what it does to a real cluster, and what it refuses."""

import json

import pytest
from click.testing import CliRunner

from schemas.apply import Cluster, Found, TopicsRefused, Wanted, plan, wanted
from schemas.topics import CATALOGUE, DAY_MS, DEAD_LETTERS
from watchfloor.commands.topics import command

DELETE = {"cleanup.policy": "delete", "retention.ms": str(14 * DAY_MS)}


def one(partitions: int = 2, keyed: bool = True, **config: str) -> Wanted:
    changed = {key.replace("_", "."): value for key, value in config.items()}
    return Wanted("x", partitions, 1, keyed, {**DELETE, **changed})


@pytest.mark.parametrize(
    ("topic", "there", "lines", "refused"),
    [
        (one(), None, ["create x with 2 partitions, cleanup.policy=delete, retention.ms=1209600000"], []),
        (one(), Found(2, DELETE), [], []),
        (one(1), Found(2, DELETE), [], ["x has 2 partitions, 1 are wanted: Kafka cannot remove partitions"]),
        (one(4), Found(2, DELETE), [], ["x has 2 partitions, 4 are wanted: its keys would move"]),
        (one(4, keyed=False), Found(2, DELETE), ["add partitions to x, to have 4"], []),
        (one(retention_ms="-1"), Found(2, DELETE), ["change retention.ms of x from 1209600000 to -1"], []),
        (one(), Found(2, {**DELETE, "retention.ms": "5"}), ["change retention.ms of x from 5 to 1209600000"], []),
        (one(retention_ms="5"), Found(2, DELETE), [], ["x keeps records for 14 days, 5.78704e-08 days are wanted"]),
        (one(), Found(2, {**DELETE, "retention.ms": "-1"}), [], ["x keeps records for ever, 14 days are wanted"]),
        (one(cleanup_policy="compact"), Found(2, DELETE), [], ["x has cleanup.policy=delete, compact is wanted"]),
        (one(segment_ms="7"), Found(2, {**DELETE, "segment.ms": "9"}), ["change segment.ms of x from 9 to 7"], []),
    ],
)
def test_plan(topic: Wanted, there: Found | None, lines: list[str], refused: list[str]) -> None:
    found = plan([topic], {"x": there} if there else {})
    assert found.lines() == lines
    assert [reason[: len(start)] for reason, start in zip(found.refused, refused, strict=True)] == refused


def by_prefix(start: str) -> list[str]:
    return [name for name in CATALOGUE if name.startswith(start)]


def test_wanted_covers_the_catalogue_and_the_changelogs() -> None:
    topics = wanted(
        CATALOGUE.values(),
        {"changelog.metrics": None, "changelog.control": 1},
        prefix="p.",
        partitions=24,
        replication=3,
        forever=True,
    )
    by_name = {topic.name: topic for topic in topics}
    assert by_name.keys() == {f"p.{name}" for name in (*CATALOGUE, "changelog.metrics", "changelog.control")}
    one = {topic.name for topic in topics if topic.partitions == 1}
    assert one == {f"p.{name}" for name in by_prefix("control.")} | {"p.changelog.control"}
    assert {topic.partitions for topic in topics} == {1, 24}
    assert all(topic.config["min.insync.replicas"] == "2" for topic in topics)
    assert by_name["p.alerts"].config["retention.ms"] == "-1"
    compacted = {topic.name for topic in topics if topic.config["cleanup.policy"] == "compact"}
    names = "changelog.metrics changelog.control control.flags control.thresholds control.models"
    names += " control.references control.sites control.calendars control.rosters"
    assert compacted == {f"p.{name}" for name in names.split()}
    assert not any("retention.ms" in by_name[name].config for name in compacted)
    by_senders_time = {topic.name for topic in topics if "message.timestamp.type" not in topic.config}
    outside = "events.metrics events.attendance events.sync events.ocr"
    outside += " commands.alerts commands.tickets control.commands"
    assert by_senders_time == {f"p.{name}" for name in outside.split()}
    assert [topic.name for topic in topics if not topic.keyed] == [f"p.{DEAD_LETTERS.name}"]


def test_no_personal_record_outlives_its_topic() -> None:
    """A segment goes when its newest record is old enough, as the broker sees when it looks."""
    topics = {each.name: each for each in wanted(CATALOGUE.values(), {}, partitions=1, replication=1)}
    personal = [topic for topic in CATALOGUE.values() if topic.personal]
    assert [topic.name for topic in personal] == ["events.ocr", "outcomes.ocr"]
    for topic in personal:
        config, most = topics[topic.name].config, topic.retention_ms
        hour, looks = 3_600_000, 300_000 + 60_000
        ahead = int(config["message.timestamp.after.max.ms"])
        assert most is not None
        assert most <= 72 * hour
        assert int(config["retention.ms"]) + int(config["segment.ms"]) + ahead + looks <= most
        # Thousands of files are no way to keep the promise either.
        assert most / int(config["segment.ms"]) < 200


@pytest.mark.kafka
def test_apply_makes_the_cluster_match(kafka: str, prefix: str) -> None:
    def topics(partitions: int = 2, forever: bool = False) -> list[Wanted]:
        changelogs = {"changelog.metrics": None}
        return wanted(
            CATALOGUE.values(), changelogs, prefix=prefix, partitions=partitions, replication=1, forever=forever
        )

    cluster = Cluster(kafka)
    count = len(CATALOGUE) + 1
    assert len(cluster.plan(topics()).create) == count
    assert len(cluster.apply(topics()).create) == count
    partitions = cluster.partitions()
    assert all(partitions[topic.name] == topic.partitions for topic in topics())
    assert cluster.apply(topics()).lines() == []

    with pytest.raises(TopicsRefused) as caught:
        cluster.apply(topics(partitions=3, forever=True))
    keyed = sum(topic.key is not None and topic.partitions is None for topic in CATALOGUE.values())
    assert len(caught.value.reasons) == keyed + 1
    assert cluster.plan(topics()).lines() == [], "nothing may have changed"

    changed = sum(topic.retention_ms is not None for topic in CATALOGUE.values())
    assert len(cluster.apply(topics(forever=True)).lines()) == changed
    assert cluster.plan(topics(forever=True)).lines() == []
    with pytest.raises(TopicsRefused, match="keeps records for ever"):
        cluster.apply(topics())


@pytest.mark.kafka
def test_unkeyed_topics_grow(kafka: str, prefix: str) -> None:
    cluster = Cluster(kafka)
    name = f"{prefix}grows"
    cluster.apply([Wanted(name, 1, 1, False, {})])
    assert cluster.apply([Wanted(name, 3, 1, False, {})]).lines() == [f"add partitions to {name}, to have 3"]
    assert cluster.partitions()[name] == 3


@pytest.mark.kafka
def test_command(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", f"{prefix}command.")
    monkeypatch.setenv("WATCHFLOOR_PARTITIONS", "2")
    run = CliRunner().invoke
    listed = json.loads(run(command, ["list", "--json"]).stdout)
    assert {row["name"] for row in listed} >= {f"{prefix}command.{name}" for name in CATALOGUE}
    assert not any(row["exists"] for row in listed)
    dry = json.loads(run(command, ["apply", "--dry-run", "--json"]).stdout)
    assert len(dry["steps"]) == len(dry["topics"]) == len(listed)
    assert json.loads(run(command, ["apply", "--json"]).stdout)["steps"] == dry["steps"]
    assert "match the catalogue" in run(command, ["apply"]).stdout
    assert "events.metrics" in run(command, ["list"]).stdout
    monkeypatch.setenv("WATCHFLOOR_PARTITIONS", "1")
    refused = run(command, ["apply"])
    assert refused.exit_code == 2
    assert "WATCHFLOOR_PARTITIONS=2" in refused.stderr


def test_command_without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_KAFKA", "127.0.0.1:1")
    result = CliRunner().invoke(command, ["list"])
    assert result.exit_code == 1
    assert "watchfloor up" in result.stderr
