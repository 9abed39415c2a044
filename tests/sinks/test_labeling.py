"""A week's labeling, from the readings in the database to what the answers say of people: by the commands."""

import json
import time
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka.admin import NewTopic

from models.ocr.features import NAMES
from models.ocr.prevalence import Week
from models.ocr.selection import QUOTAS
from models.readings import WRONG
from schemas import topics
from schemas.topics import DAY_MS, Topic
from sinks import labeling
from streams.ocr import OCR
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run
from tests.conftest import Access
from tests.sinks.conftest import Bench
from tests.streams.test_ocr import correction, event
from watchfloor.cli import main
from watchfloor.log import messages

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

MIDNIGHT = int(time.time() * 1000) // DAY_MS * DAY_MS
DAY = f"{datetime.fromtimestamp(MIDNIGHT / 1000, UTC):%Y-%m-%d}"
MINUTE = 60_000
COUNT, JUDGED = 90, 24


def asked(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result.output


def listed(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in asked("label", "list", *arguments, "--json").splitlines()]


def batch() -> dict[str, Any]:
    run_it = ("jobs", "run", "active-learning", "--tenant", "acme", "--for", DAY, "--json")
    found: dict[str, Any] = json.loads(asked(*run_it))
    (told,) = found["batches"]
    return dict(told)


def streamed(bench: Bench, inputs: list[tuple[Topic, dict[str, Any]]], start: Outcome | None) -> Outcome:
    """Let the agent take its inputs, and write what it makes of them to the topics of the sink."""
    given = [
        InputRecord(topic.key_of(one), topic.codec.encode(one), one[topic.time], number, (), topic.name)
        for number, (topic, one) in enumerate(inputs)
    ]
    outcome = run(OCR, given, start=start)
    for topic in OCR.outputs:
        bench.write(topic, [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)])
    assert not outcome.topic(topics.DEAD_LETTERS.name)
    outcome.outputs.clear()
    bench.drain()
    return outcome


def test_a_week(bench: Bench, clickhouse: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WATCHFLOOR_KAFKA": bench.options.servers,
        "WATCHFLOOR_PREFIX": bench.options.prefix,
        **clickhouse.variables(bench.store.database),
    }.items():
        monkeypatch.setenv(name, value)
    answers = bench.options.prefix + topics.OUTCOMES_OCR.name
    for future in bench.admin.create_topics([NewTopic(answers, 1, 1)], operation_timeout=20).values():
        future.result(30)
    since = MIDNIGHT - 3 * DAY_MS
    events = [
        event(f"e-{n}", f"{n:06}", since + n * MINUTE, asset_id="m-1", confidence=0.3 + 0.69 * (n / COUNT))
        for n in range(COUNT)
    ]
    # Of the surest readings some were corrected, others confirmed.
    judged = [
        correction(f"e-{n}", "999999" if n % 4 == 0 else f"{n:06}", since + DAY_MS + n, asset_id="m-1")
        for n in range(COUNT - JUDGED, COUNT)
    ]
    inputs = [*((topics.EVENTS_OCR, each) for each in events), *((topics.OUTCOMES_OCR, each) for each in judged)]
    state = streamed(bench, inputs, None)
    # What is asked for, once.
    assert json.loads(asked("jobs", "run", "active-learning", "--dry-run", "--json"))["published"] is False
    first = batch()
    assert Counter(task["reason"] for task in first["tasks"]) == QUOTAS
    assert (first["readings"], first["missing"]) == (COUNT, {})
    assert {task["propensity"] for task in first["tasks"] if task["reason"] == "random"} == {10 / (COUNT - JUDGED)}
    bench.drain()
    assert batch()["tasks"] == []
    # What people see, and say.
    waiting = listed("--tenant", "acme")
    assert {task["task_id"] for task in waiting} == {task["task_id"] for task in first["tasks"]}
    assert not {"reason", "propensity", "note"} & {name for task in waiting for name in task}
    assert asked("label", "list").count("\n") == 50
    assert len(listed("--by", "jane")) == 40
    again = [task for task in first["tasks"] if task["reason"] == "duplicate"]
    other, skipped = first["tasks"][0], first["tasks"][1]
    assert "no task has an id" in asked("label", "show", "zzz", code=1)
    assert "corrected_text must be 1 to" in asked("label", "answer", other["task_id"], " ", code=1)
    asked("label", "skip", skipped["task_id"], "--by", "bob")
    asked("label", "take", other["task_id"], "--by", "bob")
    bench.drain()
    assert len(listed()) == 49
    assert json.loads(asked("label", "show", other["task_id"][:8], "--json"))["state"] == "assigned"
    assert "cannot answer a task that is skipped; possible: nothing; bob did that at" in asked(
        "label", "answer", skipped["task_id"], "1", code=1
    )
    for task in (other, *again):
        asked("label", "answer", task["task_id"], task["text"], "--by", "bob")
    said = [
        topics.OUTCOMES_OCR.codec.decode(each.value() or b"")
        for each in messages(bench.servers, answers, 0, follow=False)
    ]
    streamed(bench, [(topics.OUTCOMES_OCR, each) for each in said], state)
    done = {task["task_id"]: task["state"] for task in listed("--all")}
    assert Counter(done.values()) == {"open": 43, "labelled": 6, "skipped": 1}
    # The second look confirms what was read, which the first one had called wrong in some.
    wrong = {f"e-{n}" for n in range(COUNT - JUDGED, COUNT) if n % 4 == 0}
    agreed = sum(task["event_id"] not in wrong for task in again)
    found = json.loads(asked("label", "quality", "--json"))
    assert (found["tenant"], found["pairs"], found["agreed"], found["by_two_people"]) == ("acme", 5, agreed, 5)
    assert found["kappa"] == (None if agreed == 5 else 0.0)
    flipped = 5 - agreed
    weeks = labeling.weeks(bench.store, "acme", MIDNIGHT - DAY_MS, MIDNIGHT)
    assert weeks == [Week(JUDGED, len(wrong) - flipped, pytest.approx(COUNT - JUDGED), 1, 0)]
    assert labeling.newest(bench.store, "acme", MIDNIGHT, COUNT - 1).shape == (COUNT - 1, len(NAMES))
    gold = bench.store.query(
        f"SELECT event_id, verdict FROM {bench.store.database}.v_outcomes_ocr WHERE startsWith(outcome_id, 'label-')"
    )
    assert {row["event_id"] for row in gold} == {task["event_id"] for task in (other, *again)}
    assert WRONG not in {row["verdict"] for row in gold}
    # What can be corrected no more cannot be answered either.
    old = other | {"task_id": str(uuid.UUID(int=7)), "occurred_at": MIDNIGHT - 15 * DAY_MS}
    bench.write(topics.OCR_LABELING_TASKS, [old])
    bench.drain()
    assert len(listed()) == 43
    assert "it can be corrected for 14 days" in asked("label", "answer", old["task_id"], "1", code=1)
