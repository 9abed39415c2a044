"""Replay: what is read from which file, what a bad line says, and what arrives at a real broker."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from models.metrics import NAMES
from producers.publish import Accepted, Publisher, Unacknowledged
from producers.records import Rejected, reader
from producers.replay import BadLine, Change, Replay
from producers.tables import FileError, Line, lines
from schemas.topics import EVENTS_METRICS
from tests.producers.conftest import decoded
from tests.producers.test_sources import until
from watchfloor.embedded.ports import free_port

READER = reader(EVENTS_METRICS)
WEEK = Path(str(files("producers") / "data" / "host-week.csv.gz"))
NOON = 1_772_366_400_000


def row(number: int, **more: Any) -> dict[str, Any]:
    basis = {"tenant_id": "acme", "event_id": f"e{number}", "host": f"h{number % 3}", "occurred_at": NOON + number}
    return basis | more


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """The rows in the format of the file's name."""
    opened = gzip.open if path.suffix == ".gz" else open
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif ".csv" in path.suffixes:
        with opened(path, "wt", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        with opened(path, "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.parquet"])
def test_every_format_gives_the_same_records(tmp_path: Path, name: str) -> None:
    rows = [row(1, cpu_percent=1.5, error_rate=None), row(2, cpu_percent=None, error_rate=0.25)]
    read = list(lines(write(tmp_path / name, rows), READER))
    assert [line.record for line in read] == [READER.read(each) for each in rows]
    assert [line.number for line in read] == ([2, 3] if ".csv" in name else [1, 2])
    assert read[-1].share == pytest.approx(1.0)


def test_parquet_times_and_maps(tmp_path: Path) -> None:
    kind = pyarrow.schema(
        [
            ("tenant_id", pyarrow.string()),
            ("event_id", pyarrow.string()),
            ("host", pyarrow.string()),
            ("occurred_at", pyarrow.timestamp("us", "UTC")),
            ("extra", pyarrow.map_(pyarrow.string(), pyarrow.float64())),
        ]
    )
    rows = [row(1, occurred_at=datetime(2026, 3, 1, 12, tzinfo=UTC), extra=[("gpu", 2.0)]), row(2, occurred_at=None)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, kind), path)
    first, second = lines(path, READER)
    assert isinstance(first.record, dict)
    assert (first.record["occurred_at"], first.record["extra"]) == (NOON, {"gpu": 2.0})
    assert str(second.record) == "occurred_at: missing"


def test_a_spreadsheet_s_mark_at_the_start_is_no_part_of_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbftenant_id,event_id,host,occurred_at\r\nacme,e1,h,2026-03-01T12:00:00Z\r\n\r\n")
    (line,) = lines(path, READER)
    assert line.record == READER.read(row(1, host="h", occurred_at=NOON))


@pytest.mark.parametrize(
    ("text", "number", "reason"),
    [
        ('{"tenant_id": "acme"', 1, "JSON object on each line"),
        ("[1]", 1, "got [1]"),
        ("[" * 100_000, 1, "JSON object"),
        ("\n\n" + json.dumps(row(1, cpu_percent="x")), 3, "cpu_percent: expected a number, got 'x'"),
        ('{"tenant_id": "acme", "event_id": "\\ud800", "host": "h", "occurred_at": 1}', 1, "event_id"),
        (json.dumps(row(1, cpu_percent=float("nan"))), 1, "finite"),
    ],
)
def test_bad_jsonl(tmp_path: Path, text: str, number: int, reason: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    (line,) = lines(tmp_path / "a.jsonl", READER)
    assert line.number == number
    assert isinstance(line.record, Rejected)
    assert reason in str(line.record)


HEADER = "tenant_id,event_id,host,occurred_at,cpu_percent\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (HEADER + "acme,e1,h,2026-03-01T12:00:00Z,high", "cpu_percent: expected a number"),
        (HEADER + "acme,e1,h,2026-03-01T12:00:00Z", "expected 5 cells as in the header, got 4"),
        (HEADER + "acme,e1,h,,1", "occurred_at: missing"),
        (HEADER + "acme,e1,h,1 March,1", "occurred_at: expected a time"),
    ],
)
def test_bad_cells(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    (line,) = lines(tmp_path / "a.csv", READER)
    assert line.number == 2
    assert isinstance(line.record, Rejected)
    assert reason in str(line.record)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", b"", "expected a name that ends in .jsonl"),
        ("a.parquet.gz", b"", "expected a name that ends in"),
        ("a.parquet", b"no parquet", "a.parquet"),
        ("a.csv", b"", "no columns"),
        ("a.csv", b"tenant_id,cpu\n", "line 1: unknown columns 'cpu'; expected a header of: tenant_id,"),
        ("a.csv", b"tenant_id,tenant_id\n", "one twice"),
        ("a.csv.gz", b"no gzip", "a.csv.gz"),
        ("a.jsonl.gz", gzip.compress(b"{}\n" * 9999)[:40], "a.jsonl.gz"),
        ("a.csv", HEADER.encode() + b'"' + b"x" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError) as refusal:
        list(lines(tmp_path / name, READER))
    assert reason in str(refusal.value)


@given(st.binary(max_size=300), st.sampled_from(["a.jsonl", "a.csv", "a.parquet"]))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(HEADER.encode() + content if name == "a.csv" else content)
    try:
        read = list(lines(path, READER))
    except FileError:
        return
    assert all(isinstance(line.record, Rejected | dict) for line in read)


def test_the_recorded_week() -> None:
    read = [line.record for line in lines(WEEK, READER)]
    records = [record for record in read if isinstance(record, dict)]
    assert len(records) == len(read) == 7 * 24 * 60
    times = [record["occurred_at"] for record in records]
    assert {b - a for a, b in pairwise(times)} == {60_000}
    measured = {name for record in records for name in NAMES if record[name] is not None}
    assert measured == {"cpu_percent", "disk_write_bytes_per_s", "request_latency_ms"}
    said = json.loads(WEEK.with_name("host-week.json").read_text())["incidents"]
    assert {each["metric"] for each in said} == measured
    last = max(datetime.fromisoformat(each["at"]) for each in said).timestamp() * 1000
    assert times[-1] - last > 6 * 3_600_000
    assert WEEK.stat().st_size < 1_000_000


def test_a_moved_event_is_another_event() -> None:
    record = READER.read(row(1))
    same, moved = Change()(EVENTS_METRICS, record), Change(1000)(EVENTS_METRICS, record)
    assert same == record
    assert moved["occurred_at"] == NOON + 1001
    other = Change(host="x")(EVENTS_METRICS, record)
    again = Change(1000)(EVENTS_METRICS, record)
    assert len({record["event_id"], moved["event_id"], other["event_id"]}) == 3
    assert moved == again
    assert Change(tenant="other")(EVENTS_METRICS, record) == record | {"tenant_id": "other"}


class Taker:
    """Takes what it is given, but not the first `refusals` times; notes when and what."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.taken: list[tuple[float, str]] = []

    def publish(self, topic: Any, records: list[dict[str, Any]], times: list[int] | None = None) -> list[Any]:
        if self.refusals:
            self.refusals -= 1
            return [Accepted(0, 0), *[Unacknowledged("away")] * (len(records) - 1)]
        now = time.monotonic()
        self.taken += [(now, record["event_id"]) for record in records]
        return [Accepted(0, 0)] * len(records)


def given_lines(*rows: dict[str, Any]) -> Iterator[Line]:
    return (Line(number, each, READER.read(each), 0.0) for number, each in enumerate(rows, 1))


def test_the_pace_is_that_of_the_events() -> None:
    taker = Taker()
    rows = [row(n, occurred_at=NOON + n * 60_000) for n in range(4)]
    summary = Replay(EVENTS_METRICS, taker, speed=120).run(given_lines(*rows))  # type: ignore[arg-type]
    gaps = [b - a for (a, _), (b, _) in pairwise(taker.taken)]
    assert all(gap > 0.2 for gap in gaps)  # 0.5 s each, on the schedule and not after the last one
    assert 1.4 < summary.seconds < 5
    assert (summary.first, summary.last) == (NOON, NOON + 180_000)


def test_what_is_not_acknowledged_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.replay.RETRY_S", 0.01)
    taker = Taker(refusals=2)
    summary = Replay(EVENTS_METRICS, taker).run(given_lines(*(row(n) for n in range(5))))  # type: ignore[arg-type]
    assert summary.published == 5
    assert [name for _, name in taker.taken] == ["e2", "e3", "e4"]


def test_a_stop_is_heeded_between_records() -> None:
    stop = threading.Event()
    stop.set()
    summary = Replay(EVENTS_METRICS, Taker(), stop=stop).run(given_lines(row(1)))  # type: ignore[arg-type]
    assert summary.stopped
    assert summary.published == 0


@pytest.mark.kafka
def test_a_bad_line_ends_the_replay_after_what_stands_before_it(
    kafka: str, topics: str, written: Callable[[], list[Message]], tmp_path: Path
) -> None:
    before = len(written())
    path = write(tmp_path / "a.jsonl", [row(1), row(2), row(3, cpu_percent=101), row(4)])
    with Publisher(kafka, prefix=topics) as publisher:
        with pytest.raises(BadLine, match="line 3: cpu_percent must be 0 to 100"):
            Replay(EVENTS_METRICS, publisher).run(lines(path, READER))
        assert len(written()) == before + 2
        rejects = tmp_path / "rejects.jsonl"
        summary = Replay(EVENTS_METRICS, publisher, rejects=rejects).run(lines(path, READER))
    assert (summary.read, summary.published, summary.skipped) == (4, 3, 1)
    (said,) = map(json.loads, rejects.read_text().splitlines())
    assert (said["line"], said["field"]) == (3, "cpu_percent")
    assert json.loads(said["record"])["event_id"] == "e3"


def replay(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "watchfloor", "replay", *map(str, arguments)],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.kafka
def test_the_command_moves_a_week_to_now(
    kafka: str, topics: str, written: Callable[[], list[Message]], tmp_path: Path
) -> None:
    where = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": topics, "WATCHFLOOR_HOME": str(tmp_path)}
    process = replay(
        WEEK, "--shift-to-now", "--original-timestamps", "--host", "moved", "--limit", "3000", "--json", **where
    )
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    summary = json.loads(output)
    assert (summary["read"], summary["published"], summary["skipped"]) == (3000, 3000, 0)
    assert abs(summary["last"] - time.time() * 1000) < 100_000
    messages = [message for message in written() if message.key() == b"local|moved"]
    records = decoded(messages)
    assert len({record["event_id"] for record in records}) == 3000
    assert [message.timestamp()[1] for message in messages] == [record["occurred_at"] for record in records]
    assert records[-1]["occurred_at"] == summary["last"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--speed", "fast"], 2, "'fast' is no speed; expected 1x, 60x, ... or max"),
        (["--end-at", "noon"], 2, "expected a time as ISO 8601"),
        (["--end-at", str(NOON), "--shift-to-now"], 2, "exclude each other"),
        (["--shift-to-now"], 2, "no event in it, so there is no time to shift"),
        ([], 3, "line 1: cpu_percent: expected a number, got 'x'. --skip-bad REJECTS goes on"),
    ],
)
def test_wrong_use_is_said(tmp_path: Path, arguments: list[str], code: int, text: str) -> None:
    path = write(tmp_path / "a.jsonl", [row(1, cpu_percent="x")])
    where = {"WATCHFLOOR_KAFKA": f"127.0.0.1:{free_port()}", "WATCHFLOOR_HOME": str(tmp_path)}
    process = replay(path, *arguments, **where)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert text in " ".join(errors.split())


@pytest.mark.kafka
def test_an_interrupted_replay_says_how_far_it_came_and_how_to_go_on(
    kafka: str, topics: str, written: Callable[[], list[Message]], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.jsonl", [row(0, host="waits"), row(1, occurred_at=NOON + 3_600_000)])
    where = {"WATCHFLOOR_KAFKA": kafka, "WATCHFLOOR_PREFIX": topics, "WATCHFLOOR_HOME": str(tmp_path)}
    process = replay(path, "--shift-to-now", "--speed", "1x", "--json", **where)
    # Once its first record is published it waits an hour for the next one.
    until(lambda: any(message.key() == b"acme|waits" for message in written()), 60)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    summary = json.loads(output)
    assert (summary["published"], summary["stopped"]) == (1, True)
    end = NOON + 3_600_000 + summary["shift_ms"]
    assert f"the same command with --end-at {end} instead of --shift-to-now" in errors
