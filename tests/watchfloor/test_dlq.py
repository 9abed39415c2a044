"""`watchfloor dlq` on a real broker, with the metrics agent of a real worker on the other side."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaException, Producer

from schemas import topics, versions
from schemas.apply import Cluster
from schemas.codec import MARKER, codec_for, topic_codec
from schemas.parse import rabin, stored
from streams.app import build
from streams.metrics import METRICS
from streams.runtime.offline import run
from streams.sealing import NO_SEALER
from tests.faults import logs
from tests.faults.waiting import until
from tests.streams.runtime import pairs
from tests.streams.runtime.tally import NOW
from watchfloor.cli import main
from watchfloor.commands.topics import all_wanted
from watchfloor.dead_letters import HEADER, Choice, Replayer
from watchfloor.settings import Settings

pytestmark = pytest.mark.kafka
KEY = b"acme|web-1"


@pytest.fixture
def settings(kafka: str, prefix: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """An instance with empty topics of its own."""
    monkeypatch.setenv("WATCHFLOOR_KAFKA", kafka)
    monkeypatch.setenv("WATCHFLOOR_PREFIX", f"{prefix}{uuid4().hex[:6]}.")
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path))
    found = Settings()
    Cluster(found.kafka).apply(all_wanted(found))
    return found


def dlq(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["dlq", *arguments])


def listed() -> dict[str, Any]:
    result = dlq("list", "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def event(number: int, **other: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    return {"event_id": f"e-{number}", "tenant_id": "acme", "host": "web-1", "occurred_at": now, "cpu_percent": 20.0,
            "extra": {}} | other  # fmt: skip


def write(settings: Settings, name: str, rows: list[tuple[bytes | None, bytes]], **options: Any) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka, "log_level": 0})
    for key, value in rows:
        producer.produce(settings.prefix + name, value, key, **options)
    assert producer.flush(20) == 0


def write_letters(settings: Settings, count: int, **other: Any) -> None:
    """Letters of events that could be processed now."""
    rows = []
    for number in range(count):
        letter = {
            "source_topic": settings.prefix + "events.metrics", "source_partition": 0, "source_offset": number,
            "source_timestamp": 1_790_000_000_000, "agent": "metrics", "error_class": "ValueError", "message": "a bug",
            "key": KEY, "value": topics.EVENTS_METRICS.codec.encode(event(number)),
            "headers": [{"name": "trace", "value": b"7"}, {"name": HEADER, "value": b"0:99"}], "tenant_id": "acme",
        } | other  # fmt: skip
        rows.append((KEY, topics.DEAD_LETTERS.codec.encode(letter)))
    write(settings, "dead-letters", rows, partition=0)


def log(settings: Settings, name: str) -> list[logs.Logged]:
    return [one for part in logs.read(settings.kafka, settings.prefix + name, within=20) for one in part]


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """A worker with the metrics agent."""
    app = build([METRICS], servers=settings.kafka, prefix=settings.prefix, data=settings.home / "faust")
    app.finalize()
    try:
        await app.start()
        yield
    finally:
        await app.stop()


@pytest.fixture
def late_schema(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Path]]:
    """A version of the events' schema that nobody here knows yet, and where it would be released."""
    history = tmp_path / "history"
    history.mkdir()
    for path in versions.HISTORY.iterdir():
        (history / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(versions, "HISTORY", history)
    schema = stored(versions.current("events.metrics"))
    schema["fields"].append({"name": "rack", "type": ["null", "string"], "default": None})
    topic_codec.cache_clear()
    yield schema, history / "events.metrics.v9.avsc"
    topic_codec.cache_clear()


async def test_a_schema_that_came_too_late(settings: Settings, late_schema: tuple[Any, Path]) -> None:
    """Its record is a dead letter; once the schema is there, one command makes one prediction of it."""
    schema, place = late_schema
    newer = codec_for(schema, MARKER + rabin(schema))
    write(settings, "events.metrics", [(KEY, newer.encode(event(1, rack="r7")))], headers=[("trace", b"7")])
    async with working(settings):
        await asyncio.to_thread(until, lambda: listed()["letters"], 30, "the dead letter")
        (letter,) = (await asyncio.to_thread(listed))["letters"]
        assert (letter["error_class"], letter["replayed"]) == ("UnknownFingerprint", False)
        seen = await asyncio.to_thread(dlq, "show", letter["id"])
        assert rabin(schema).hex() in seen.stdout
        assert "cannot be read now either" in seen.stdout

        # Too early: it would only be a dead letter again.
        early = await asyncio.to_thread(dlq, "replay", "--class", "UnknownFingerprint", "--yes")
        assert early.exit_code == 2
        assert "still cannot be read" in early.stderr
        skipped = await asyncio.to_thread(dlq, "replay", "--all", "--yes", "--on-error", "skip", "--json")
        assert json.loads(skipped.stdout)["replayed"] == 0
        assert await asyncio.to_thread(log, settings, "predictions.anomaly") == []

        place.write_text(json.dumps(schema))
        topic_codec.cache_clear()
        done = await asyncio.to_thread(dlq, "replay", "--class", "UnknownFingerprint", "--yes")
        assert done.exit_code == 0, done.output
        assert "1 records replayed" in done.stdout
        predictions = await asyncio.to_thread(until, lambda: log(settings, "predictions.anomaly"), 30, "the prediction")
        assert [topics.PREDICTIONS_ANOMALY.codec.decode(one.value or b"")["event_id"] for one in predictions] == ["e-1"]

        # Once more: refused; and when insisted on, the agent drops the repeat.
        second = await asyncio.to_thread(dlq, "replay", "--all", "--yes")
        assert second.exit_code == 2
        assert "replayed already" in second.stderr
        again = await asyncio.to_thread(dlq, "replay", letter["id"], "--again", "--yes")
        assert again.exit_code == 0, again.output
        await asyncio.to_thread(
            write, settings, "events.metrics", [(KEY, topics.EVENTS_METRICS.codec.encode(event(2)))]
        )
        predictions = await asyncio.to_thread(
            until, lambda: (found := log(settings, "predictions.anomaly"))[1:] and found, 30, "what came after"
        )
        ids = [topics.PREDICTIONS_ANOMALY.codec.decode(one.value or b"")["event_id"] for one in predictions]
        assert ids == ["e-1", "e-2"]
    (letter,) = listed()["letters"]
    assert letter["replayed"] is True


def test_a_replay_keeps_key_and_headers_and_is_noted(settings: Settings) -> None:
    write_letters(settings, 3)
    rehearsed = dlq("replay", "--all", "--dry-run", "--json")
    assert rehearsed.exit_code == 0, rehearsed.output
    assert json.loads(rehearsed.stdout)["would_replay"] == 3
    assert log(settings, "events.metrics") == []
    asked = CliRunner().invoke(main, ["dlq", "replay", "--all"], input="n\n")
    assert asked.exit_code == 1
    assert log(settings, "events.metrics") == []

    before = int(time.time() * 1000)
    assert dlq("replay", "0:1", "--yes", "--by", "ann").exit_code == 0
    (record,) = log(settings, "events.metrics")
    assert record.key == KEY
    assert record.partition == topics.EVENTS_METRICS.partition_of(KEY, 2)
    assert record.headers == (("trace", b"7"), (HEADER, b"0:1"))
    assert record.timestamp >= before
    assert topics.EVENTS_METRICS.codec.decode(record.value or b"")["event_id"] == "e-1"
    mark = topics.DEAD_LETTERS.codec.decode(log(settings, "dead-letters")[-1].value or b"")
    assert (mark["agent"], mark["error_class"], mark["source_offset"]) == ("dlq", "Replayed", 1)
    assert mark["message"] == f"ValueError of {settings.prefix}events.metrics[0] at 1 was replayed by ann"

    rest = dlq("replay", "--all", "--yes", "--json")
    assert json.loads(rest.stdout) == {"replayed": 2, "already": 1, "skipped": []}
    assert [each["count"] for each in listed()["groups"]] == [3]
    assert [each["replayed"] for each in listed()["groups"]] == [3]


def test_a_record_is_mended_on_the_way(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = topics.EVENTS_METRICS.codec.encode(event(5, cpu_percent=400.0))
    write_letters(settings, 1, value=bad, error_class="InvalidEvent")
    as_it_is = dlq("replay", "0:0", "--yes")
    assert as_it_is.exit_code == 2
    assert "cpu_percent" in as_it_is.stderr
    other_key = dlq("replay", "0:0", "--yes", "--set", "cpu_percent=40", "--set", "host=web-2")
    assert "the key is b'acme|web-1', which is kept" in other_key.stderr
    nonsense = dlq("replay", "0:0", "--yes", "--set", "cpu_percent=much")
    assert "not a record of events.metrics any more: cpu_percent" in nonsense.stderr
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/400.0/41.5/" "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert dlq("replay", "0:0", "--edit", "--yes").exit_code == 0
    assert dlq("replay", "0:0", "--again", "--yes", "--set", "cpu_percent=42.5").exit_code == 0
    values = [
        topics.EVENTS_METRICS.codec.decode(one.value or b"")["cpu_percent"] for one in log(settings, "events.metrics")
    ]
    assert values == [41.5, 42.5]


def test_stop_keeps_what_came_before_and_skip_goes_on(settings: Settings) -> None:
    write_letters(settings, 2)
    write_letters(settings, 1, value=b"garbage", error_class="DecodeError")
    write_letters(settings, 1, value=None, key=None, error_class="RecordsLost")
    write_letters(settings, 1)
    stopped = dlq("replay", "--all", "--yes")
    assert stopped.exit_code == 2
    assert "0:2: still cannot be read" in stopped.stderr
    assert "2 before it were replayed" in stopped.stderr
    assert len(log(settings, "events.metrics")) == 2
    skipping = json.loads(dlq("replay", "--all", "--yes", "--on-error", "skip", "--json").stdout)
    assert (skipping["replayed"], skipping["already"]) == (1, 2)
    assert [each for each, _ in skipping["skipped"]] == ["0:2", "0:3"]
    assert len(log(settings, "events.metrics")) == 3


def test_a_timer_cannot_be_put_back_and_it_is_said_why(settings: Settings) -> None:
    """Letters as the runtime writes them: no topic ever held what they stand for."""
    spoilt = [pairs.one(pairs.FIRST, number, 0, number, pairs.SPOILT) for number in range(2)]
    outcome = run(pairs.AGENT, spoilt, tick=NOW + 60_000, prefix=settings.prefix)
    found = [(key, value or b"") for key, value in outcome.topic("dead-letters")]
    assert len(found) == 2
    write(settings, "dead-letters", found, partition=0)
    write_letters(settings, 1)
    stopped = dlq("replay", "0:0", "--yes")
    assert stopped.exit_code == 2
    assert "it stands for a timer of agent pairing, and no record: nothing can be put back" in stopped.stderr
    assert "nothing to edit" in dlq("replay", "0:0", "--edit", "--yes").stderr
    done = json.loads(dlq("replay", "--all", "--yes", "--on-error", "skip", "--json").stdout)
    assert (done["replayed"], [each for each, _ in done["skipped"]]) == (1, ["0:0", "0:1"])
    assert len(log(settings, "events.metrics")) == 1
    source = f"timer b'e0' of {settings.prefix}changelog.pairing[0]"
    assert f"record   {source}, due " in dlq("show", "0:0").stdout
    assert f"ValueError: {source}\n" in dlq("list").stdout


def test_of_two_replays_at_once_one_is_refused(settings: Settings) -> None:
    write_letters(settings, 2)
    with Replayer(settings.kafka, settings.prefix, "ann", NO_SEALER) as first:
        with Replayer(settings.kafka, settings.prefix, "bob", NO_SEALER) as second:
            assert second.run(Choice(), {0: 2}).replayed == 2
        with pytest.raises(KafkaException):
            first.run(Choice(), {0: 2}, again=True)
    assert len(log(settings, "events.metrics")) == 2


def test_choosing_and_showing(settings: Settings) -> None:
    write_letters(settings, 3)
    write_letters(settings, 2, agent="alerts", source_topic=settings.prefix + "alerts.candidates", tenant_id="umbrella")
    found = listed()
    assert [(g["agent"], g["topic"], g["tenant"], g["count"]) for g in found["groups"]] == [
        ("metrics", settings.prefix + "events.metrics", "acme", 3),
        ("alerts", settings.prefix + "alerts.candidates", "umbrella", 2),
    ]
    assert len(found["letters"]) == 5

    def chosen(*arguments: str) -> int:
        return sum(group["count"] for group in json.loads(dlq("list", "--json", *arguments).stdout)["groups"])

    assert chosen("--agent", "alerts") == chosen("--tenant", "umbrella") == chosen("--topic", "alerts.candidates") == 2
    assert chosen("--class", "ValueError") == chosen("--since", "1h") == 5
    assert chosen("--since", "2099-01-01") == chosen("--class", "KeyMismatch") == 0
    text = dlq("list", "--limit", "1").stdout
    assert "a bug" in text
    shown = json.loads(dlq("show", "0:1", "--json").stdout)
    assert (shown["id"], shown["decoded"]["event_id"], shown["error_class"]) == ("0:1", "e-1", "ValueError")
    assert shown["headers"][0] == ["trace", "37"]
    assert "no such dead letter" in dlq("show", "0:99").stderr
    assert "no such dead letter: 7:0" in dlq("replay", "7:0", "--yes").stderr
    assert "say which" in dlq("replay", "--yes").stderr
