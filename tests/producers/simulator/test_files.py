"""The files: the same bytes for the same seed, both formats the same records, read and published by replay."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from producers.records import reader
from producers.tables import lines
from schemas.apply import Cluster, wanted
from schemas.topics import CATALOGUE, EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE, REFERENCE
from watchfloor.cli import main

SMALL = ["--tenants", "2", "--people", "30", "--days", "4", "--start", "2026-04-20", "--fraud-rate", "0.1"]
NAMES = [topic.name for topic in (EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE, *REFERENCE)]


def simulate(out: Path, *more: str) -> Result:
    return CliRunner().invoke(main, ["simulate", "attendance", "--out", str(out), *SMALL, *more])


def records(out: Path, name: str, format: str) -> list[Any]:
    return [line.record for line in lines(out / f"{name}.{format}", reader(CATALOGUE[name]))]


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    for folder, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        result = simulate(tmp_path / folder, "--seed", seed)
        assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == sorted([*(f"{name}.jsonl" for name in NAMES), "truth.jsonl", "simulation.json"])
    for name in names:
        found = {folder: (tmp_path / folder / name).read_bytes() for folder in "abc"}
        assert found["a"] == found["b"], name
        assert found["a"] != found["c"] or name == "control.calendars.jsonl", name


def test_both_formats_hold_the_same_records(tmp_path: Path) -> None:
    assert simulate(tmp_path / "j").exit_code == 0
    result = simulate(tmp_path / "p", "--format", "parquet", "--json")
    assert result.exit_code == 0, result.output
    for name in NAMES:
        found = records(tmp_path / "p", name, "parquet")
        assert found == records(tmp_path / "j", name, "jsonl")
        assert all(isinstance(record, dict) for record in found), name
    about = json.loads(result.output)
    assert about == json.loads((tmp_path / "p" / "simulation.json").read_text())
    truth = [json.loads(line) for line in (tmp_path / "p" / "truth.jsonl").read_text().splitlines()]
    for tenant, count in about["tenants"].items():
        assert count["events"] == sum(r["tenant_id"] == tenant for r in records(tmp_path / "p", NAMES[0], "parquet"))
        assert count["frauds"] == sum(record["tenant_id"] == tenant for record in truth) > 0
    assert about["scenario"]["fraud_rate"] == 0.1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--fraud-rate", "0.5"], "0.5 is not in the range"),
        (["--people", "6", "--tenants", "3"], "too few for 3 tenants"),
        (["--start", "tomorrow"], "does not match the format"),
        (["--difficulty", "brutal"], "'easy', 'medium', 'hard'"),
    ],
)
def test_what_cannot_be_simulated_is_said(tmp_path: Path, more: list[str], said: str) -> None:
    result = simulate(tmp_path, *more)
    assert result.exit_code == 2
    assert said in result.output


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = simulate(tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "cannot be written" in result.output


@pytest.mark.kafka
def test_replay_publishes_events_and_outcomes(
    tmp_path: Path, kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert simulate(tmp_path).exit_code == 0
    topics = EVENTS_ATTENDANCE, OUTCOMES_ATTENDANCE
    Cluster(kafka).apply(wanted(topics, {}, prefix=prefix, partitions=2, replication=1, forever=True))
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", prefix)
    for topic in topics:
        file = str(tmp_path / f"{topic.name}.jsonl")
        more = ["--original-timestamps"] if topic.name.startswith("events.") else []
        result = CliRunner().invoke(main, ["replay", file, "--topic", topic.name, *more])
        assert result.exit_code == 0, result.output
        found = written(kafka, prefix + topic.name)
        wrote = records(tmp_path, topic.name, "jsonl")
        assert sorted(map(repr, (topic.codec.decode(value) for _, value in found))) == sorted(map(repr, wrote))
        assert {key for key, _ in found} == {topic.key_of(record) for record in wrote}


def written(kafka: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Key and value of every record of a topic."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.auto.commit": False, "log_level": 0})
    found = []
    for number in consumer.list_topics(topic, timeout=20).topics[topic].partitions:
        partition = TopicPartition(topic, number, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=20)
        consumer.assign([partition])
        while consumer.position([partition])[0].offset < end and end > 0:
            message = consumer.poll(20)
            assert message is not None
            assert message.error() is None
            found.append((message.key() or b"", message.value() or b""))
    consumer.close()
    return found


def test_only_events_can_be_moved_in_time(tmp_path: Path) -> None:
    """An outcome names its event by an id that a shift changes."""
    file = tmp_path / "outcomes.jsonl"
    file.write_text("")
    result = CliRunner().invoke(main, ["replay", str(file), "--topic", "outcomes.attendance", "--shift-to-now"])
    assert result.exit_code == 2
    assert "only events can be moved in time" in result.output
