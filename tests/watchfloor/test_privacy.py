"""No personal data at rest: texts are planted, worker and sink run, and every topic, table and log is looked through.

Exempted, by name, are the two topics that texts come in by. Sealed dead letters need no exemption.
"""

import base64
import logging
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, Producer, TopicPartition

from models.readings import METER, UNSURE, VEHICLE
from schemas import topics
from schemas.topics import CATALOGUE, Topic
from sinks.figures import Figures
from sinks.writer import Options, Sink
from streams.sealing import Sealer
from tests.conftest import Access
from tests.faults import logs
from tests.faults.waiting import until
from tests.streams.test_ocr import correction, event
from watchfloor.cli import main
from watchfloor.commands.db import open_store
from watchfloor.settings import Settings

AGENTS = "ocr,ocr-outcomes,ocr-health,alerts"
"""All that what is planted, or what is made of it, comes to."""
EXEMPTED = {"events.ocr", "outcomes.ocr"}
NAME, PHONE, MAIL, PLATE = PLANTED = (
    "Zephyrine Quackenbush",
    "+49 171 5550143",
    "z.quackenbush@example.org",
    "HH-ZQ 7391",
)
NUMBERS = (491715550143.0, 491715550.143)
"""The telephone number as an engine, or a text with a comma, may make it what a meter shows."""
LETTERS = Sealer([b"letters-" * 5])
SECRETS = {"WATCHFLOOR_OCR_SECRET": "plates--" * 5, "WATCHFLOOR_LETTER_SECRET": "letters-" * 5}
HEADERS = [("from", NAME.encode())]

Row = tuple[bytes | None, bytes | None]


def needles() -> dict[bytes, str]:
    """What must not be found, in the forms that it may take; each with what it was. Letters are small."""
    found = {struct.pack(order + "d", number).lower(): PHONE for number in NUMBERS for order in "<>"}
    apart = [(text, "".join(filter(str.isalnum, text))) for text in PLANTED]
    forms = {*zip(PLANTED, PLANTED, strict=True), *apart, *((text, text.replace(" ", "")) for text in PLANTED)}
    forms |= {(PHONE, str(number)) for number in NUMBERS} | {(PHONE, "1715550143")}
    for text, form in forms:
        for shown in (form.lower(), form.upper(), form):
            raw = shown.encode()
            wide = [shown.encode(each) for each in ("utf-16-le", "utf-16-be", "utf-32-le")]
            for needle in (raw, quote(shown).encode(), raw.hex().encode(), *coded(raw), *wide):
                found[needle.lower()] = text
    return found


def coded(raw: bytes) -> Iterator[bytes]:
    """What of its base64 does not depend on what stands before and after it, at each of the three places."""
    for shift, first in enumerate((0, 2, 3)):
        yield base64.b64encode(bytes(shift) + raw)[first : 8 * (shift + len(raw)) // 6]


NEEDLES = needles()


def hits(raw: bytes) -> set[str]:
    """What of the planted is in there."""
    small = raw.lower()
    return {text for needle, text in NEEDLES.items() if needle in small}


def good(now: int) -> list[dict[str, Any]]:
    """Readings that are taken, with texts that are none."""
    texts = [*PLANTED, "0171 5550143", "491715550,143"]
    made = [
        event(f"{source}-{number}", text, now, source, confidence=0.3, value=NUMBERS[0] if number in (1, 3) else None)
        for source in (METER, VEHICLE)
        for number, text in enumerate(texts)
    ]
    return [*made, event("meter", "004512", now)]


def corrections(now: int) -> list[dict[str, Any]]:
    found = [
        correction(f"{source}-{number}", text, now, source)
        for source in (METER, VEHICLE)
        for number, text in enumerate(reversed(PLANTED))
    ]
    return [*found, correction("meter", NAME, now)]


def bad(now: int) -> dict[str, list[tuple[Topic, bytes | None, bytes | None]]]:
    """Records that are refused, by the class of their dead letter."""
    ocr, outcomes = topics.EVENTS_OCR, topics.OUTCOMES_OCR
    key = b"acme|meter_reading|a-1"
    return {
        "DecodeError": [(ocr, key, text.encode()) for text in PLANTED],
        "KeyMismatch": [(ocr, text.encode(), ocr.codec.encode(event("k", text, now))) for text in PLANTED],
        "EmptyValue": [(ocr, f"acme|{PLATE}".encode(), None)],
        "InvalidEvent": [(ocr, key, ocr.codec.encode(event("invalid", NAME, now, confidence=2.0)))],
        "ConflictingEvent": [(ocr, key, ocr.codec.encode(event(f"{METER}-0", "5", now, source_id="other")))],
        "EventFromTheFuture": [(ocr, key, ocr.codec.encode(event("f", PHONE, now + 3_600_000)))],
        "EventTooOld": [(ocr, key, ocr.codec.encode(event("o", MAIL, now - 40 * topics.DAY_MS)))],
        "NoSuchReading": [(outcomes, key, outcomes.codec.encode(correction("unmatched", MAIL, now)))],
        "InvalidOutcome": [(outcomes, key, outcomes.codec.encode(correction("m", PLATE, now, correction_type=NAME)))],
    }


@dataclass(frozen=True)
class Instance:
    """Topics and tables of the run's own."""

    environment: dict[str, str]
    settings: Settings
    log: Path

    def asked(self, *arguments: str, code: int = 0, **changed: str | None) -> Result:
        done = CliRunner().invoke(main, list(arguments), env=self.environment | changed)
        assert done.exit_code == code, done.output
        return done

    def rows(self, name: str) -> list[logs.Logged]:
        """What lies in a topic of one partition."""
        (part,) = logs.read(self.settings.kafka, self.settings.prefix + name, within=30)
        return part

    def everything(self) -> dict[str, list[logs.Logged]]:
        """All that lies in every topic, what was aborted, too."""
        options = {"isolation.level": "read_uncommitted", "enable.partition.eof": True, "fetch.wait.max.ms": 20}
        client = logs.consumer(self.settings.kafka, **options)
        there = client.list_topics(timeout=20).topics.items()
        parts = {name: len(each.partitions) for name, each in there if name.startswith(self.settings.prefix)}
        left = {(name, number) for name, count in parts.items() for number in range(count)}
        client.assign([TopicPartition(*each, 0) for each in left])
        found: dict[str, list[logs.Logged]] = {name.removeprefix(self.settings.prefix): [] for name in parts}
        deadline = time.monotonic() + 60
        while left:
            assert time.monotonic() < deadline, f"not read to the end within 60 s: {left}"
            for message in client.consume(1000, 0.1):
                if message.error() is None:
                    found[message.topic().removeprefix(self.settings.prefix)].append(logs.logged(message))
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
        client.close()
        return found

    def produce(self, rows: Iterable[tuple[Topic, bytes | None, bytes | None]]) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka, "log_level": 0})
        for topic, key, value in rows:
            producer.produce(self.settings.prefix + topic.name, value, key, headers=HEADERS)
        assert producer.flush(20) == 0


@pytest.fixture
def instance(
    kafka: str, prefix: str, clickhouse: Access, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Instance:
    environment = SECRETS | {
        "WATCHFLOOR_HOME": str(tmp_path),
        "WATCHFLOOR_KAFKA": kafka,
        "WATCHFLOOR_PREFIX": prefix,
        "WATCHFLOOR_PARTITIONS": "1",
        **clickhouse.variables(database),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Instance(environment, Settings(), tmp_path / "worker.log")
    made.asked("topics", "apply")
    made.asked("db", "migrate")
    return made


def work(instance: Instance) -> int:
    """Let a worker take everything, and a person put a letter back; how many dead letters there are."""
    now = int(time.time() * 1000)
    events, said, refused = good(now), corrections(now), bad(now)
    ocr, outcomes = topics.EVENTS_OCR, topics.OUTCOMES_OCR
    instance.produce((ocr, ocr.key_of(each), ocr.codec.encode(each)) for each in events)
    instance.produce((outcomes, outcomes.key_of(each), outcomes.codec.encode(each)) for each in said)
    instance.produce(row for rows in refused.values() for row in rows)
    letters = sum(map(len, refused.values()))

    def scored(number: int) -> bool:
        return len(instance.rows("predictions.ocr_trust")) == number

    def done() -> bool:
        assert worker.poll() is None, instance.log.read_text()[-3000:]
        rows = instance.rows("ocr.verdicts")
        sure = [row for row in rows if topics.OCR_VERDICTS.codec.decode(row.value or b"")["verdict"] != UNSURE]
        judged = len(rows) == len(said) and len(instance.rows("labelled.ocr_trust")) == len(sure) > 0
        return judged and scored(len(events)) and len(instance.rows("dead-letters")) == letters

    with instance.log.open("wb") as stream:
        worker = subprocess.Popen(
            [sys.executable, "-m", "watchfloor", "worker", "--agents", AGENTS, "--log-level", "debug"],
            env=os.environ | instance.environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        until(done, 150, "the last label", every=0.5)
        replay = ("dlq", "replay", "--class", "InvalidEvent", "--yes", "--set", "confidence=0.4")
        instance.asked(*replay, "--by", "ann")
        until(lambda: scored(len(events) + 1), 30, "what was put back", every=0.2)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait(30)
    return letters


def stored(access: Access, database: str) -> Iterator[tuple[str, bytes]]:
    """Every table and view with its rows: strings as their bytes, then everything as text."""
    client = access.client(database)
    listed = client.query("SELECT name FROM system.tables WHERE database = currentDatabase()")
    for (name,) in listed.result_rows:
        for form in ("RowBinary", "JSONStringsEachRow"):
            yield name, client.raw_query(f"SELECT * FROM {name}", fmt=form)
    client.close()


@pytest.mark.kafka
@pytest.mark.clickhouse
@pytest.mark.timeout(300)
def test_nothing_personal_lies_anywhere(
    instance: Instance, clickhouse: Access, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    letters = work(instance)
    settings = instance.settings
    options = Options(servers=settings.kafka, prefix=settings.prefix, instance="sink-0", once=True)
    Sink(open_store(settings), options, Figures()).run()

    found: dict[str, set[str]] = {}
    lying = instance.everything()
    for name, rows in lying.items():
        for row in rows:
            raw = [row.key, row.value, *(part for header, value in row.headers for part in (header.encode(), value))]
            if name in CATALOGUE and row.value is not None and name not in EXEMPTED:
                raw.append(repr(CATALOGUE[name].codec.decode(row.value)).encode())
            for part in raw:
                found.setdefault(name, set()).update(hits(part or b""))
    assert CATALOGUE.keys() <= lying.keys()
    # The search finds what is there ...
    assert found["events.ocr"] == set(PLANTED)
    assert found["outcomes.ocr"] == set(PLANTED)
    # ... and it is nowhere else.
    assert {name for name, texts in found.items() if texts} == EXEMPTED
    assert all(CATALOGUE[name].personal and (CATALOGUE[name].retention_ms or 0) <= 72 * 3_600_000 for name in EXEMPTED)
    for name in ("ocr.readings", "ocr.captures", "ocr.verdicts", "ocr.labeling-tasks", "changelog.ocr"):
        assert lying[name], name

    tables: dict[str, int] = {}
    for table, raw in stored(clickhouse, database):
        tables[table] = len(raw)
        assert not hits(raw), table
    kept = {"events_ocr", "ocr_captures", "outcomes_ocr", "labeling_tasks", "predictions", "labelled_predictions"}
    assert all(tables[name] for name in kept | {"dead_letters"}), tables

    assert not hits(instance.log.read_bytes())
    assert b"DEBUG" in instance.log.read_bytes()
    assert not hits(caplog.text.encode())

    sealed = [topics.DEAD_LETTERS.codec.decode(row.value or b"") for row in lying["dead-letters"]]
    marks = [each for each in sealed if each["error_class"] == "Replayed"]
    opened = [LETTERS.open(each) for each in sealed if each not in marks]
    assert (len(opened), len(marks)) == (letters, 1)
    given = {(row.partition, row.offset, topic): row for topic in EXEMPTED for row in lying[topic]}
    for each in opened:
        row = given[each["source_partition"], each["source_offset"], each["source_topic"].removeprefix(settings.prefix)]
        assert (each["key"], each["value"]) == (row.key, row.value)
        assert each["headers"] == [{"name": name, "value": value} for name, value in HEADERS]
    assert {each["error_class"] for each in opened} == bad(0).keys()

    show = ("dlq", "show", "0:0")
    assert "cannot be opened: it is sealed under key" in instance.asked(*show, WATCHFLOOR_LETTER_SECRET=None).output
    changed = {"WATCHFLOOR_LETTER_SECRET": "n" * 40}
    assert "and the secrets that are set have" in instance.asked(*show, **changed).output
    former = {"WATCHFLOOR_FORMER_LETTER_SECRET": SECRETS["WATCHFLOOR_LETTER_SECRET"]}
    assert "Zephyrine" in instance.asked(*show, **changed, **former).output
    assert "Zephyrine" not in instance.asked("dlq", "list").output
    refused = instance.asked("dlq", "replay", "--class", "EventTooOld", "--yes", code=2, **changed)
    assert "sealed under key" in refused.stderr
