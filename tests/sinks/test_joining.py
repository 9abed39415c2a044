"""The job that joins late outcomes makes what the stream would have made, once."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from click.testing import CliRunner

from jobs import joining
from schemas import topics
from sinks.letters import Letters
from sinks.tables import DEAD_LETTERS, LABELLED_PREDICTIONS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import run
from tests.conftest import Access
from tests.sinks.conftest import Bench
from tests.sinks.records import NOW_MS, found_wrong, outcome, prediction, sync_outcome
from watchfloor.cli import main
from watchfloor.dead_letters import Letter, mended

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

Record = dict[str, Any]
HOUR_MS = 3_600_000
LATER, EARLIER = NOW_MS + 100, NOW_MS - 100

OUTCOMES: Mapping[str, list[Record]] = {
    "fraud": [
        *(outcome(n) for n in range(30)),
        outcome(4, outcome_id="later", verdict="fraud", decided_at=LATER),
        outcome(5, outcome_id="earlier", verdict="fraud", decided_at=EARLIER),
        outcome(6, outcome_id=None, verdict="fraud", decided_at=LATER),
        # The greater id holds, though it is published first.
        outcome(8, outcome_id="z", verdict="fraud", decided_at=LATER),
        outcome(8, outcome_id="y", verdict="genuine", decided_at=LATER),
        outcome(9, outcome_id="bad", verdict="guilty", decided_at=LATER),
        outcome(7, outcome_id="of somebody else", person_id="h9", verdict="fraud", decided_at=LATER),
        outcome(99),
        outcome(7, tenant_id="other", verdict="fraud", decided_at=LATER),
    ],
    "conflict": [
        *(sync_outcome(n) for n in range(20)),
        sync_outcome(4, outcome_id=None, conflict_occurred=True, decided_at=LATER),
        sync_outcome(5, outcome_id="reversed", conflict_occurred=True, decided_at=LATER),
        sync_outcome(99),
    ],
    "ocr_trust": [
        *(found_wrong(n) for n in range(20)),
        found_wrong(4, outcome_id="reversed", verdict="wrong", decided_at=LATER),
        found_wrong(99),
    ],
}
LOST: Mapping[str, int] = {"fraud": 3, "conflict": 1, "ocr_trust": 1}
"""How many of them are about no event that was scored."""

MAKERS: Mapping[str, tuple[Callable[[int], Record], str]] = {
    "fraud": (outcome, "person_id"),
    "conflict": (sync_outcome, "user_id"),
    "ocr_trust": (found_wrong, "subject"),
}


def made(model: str, number: int, slot: str = "champion") -> Record:
    """A prediction of a model, of the event that outcome `number` is about."""
    maker, subject = MAKERS[model]
    about = maker(number)
    place = 100 * list(MAKERS).index(model) + (number if slot == "champion" else 90)
    own = {"event_id": about["event_id"], "subject": about[subject]}
    return prediction(number, model=model, slot=slot, **own, prediction_id=prediction(place)["prediction_id"])


PREDICTIONS = {model: [*(made(model, n) for n in range(40)), made(model, 1, "shadow:x")] for model in MAKERS}


def streamed(model: str, outcomes: list[Record]) -> list[Record]:
    """The newest labels that the stream makes of the predictions, and of outcomes that come 30 hours after them."""
    join = joining.JOINS[model]
    source = [
        InputRecord(topic.key_of(one), topic.codec.encode(one), at, number, (), topic.name)
        for topic, records, at in (
            (join.predictions, PREDICTIONS[model], NOW_MS),
            (join.outcomes, outcomes, NOW_MS + 30 * HOUR_MS),
        )
        for number, one in enumerate(records)
    ]
    done = run(join.agent("joined"), source, tick=NOW_MS + 30 * HOUR_MS)
    found = [join.labelled.codec.decode(value or b"") for _, value in done.topic(join.labelled.name)]
    newest = {one["prediction_id"]: one for one in sorted(found, key=lambda one: one["label_version"])}
    return [newest[name] for name in sorted(newest)]


def late(bench: Bench, model: str, tenant: str | None = None) -> list[Record]:
    found = joining.late(bench.store, model, NOW_MS - HOUR_MS, int(time.time() * 1000) + 60_000, tenant)
    return sorted(found, key=lambda one: str(one["prediction_id"]))


def test_late_outcomes_make_the_labels_of_the_stream_once(
    bench: Bench, clickhouse: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {model: streamed(model, OUTCOMES[model]) for model in joining.JOINS}
    for model, join in joining.JOINS.items():
        bench.write(join.predictions, PREDICTIONS[model])
        bench.write(join.outcomes, OUTCOMES[model])
        bench.write(join.labelled, streamed(model, []))  # what the stream presumes after a day
    bench.drain()
    labels = {model: late(bench, model) for model in joining.JOINS}
    for model in joining.JOINS:
        assert labels[model] == [one for one in wanted[model] if one["source"] != "timeout"]
        assert late(bench, model, "other") == []
    assert sum(one["source"] == "timeout" for one in wanted["conflict"]) == 20
    # Some of them are there already, one in an older version, one with an outcome that has to yield.
    fraud, place = labels["fraud"], next(n for n, one in enumerate(labels["fraud"]) if one["outcome_id"] == "z")
    missing = [fraud.pop(place), fraud.pop()]
    older = [missing[0] | {"outcome_id": "y", "label": False}, missing[1] | {"label_version": 5}]
    bench.write(topics.LABELLED_FRAUD, [*fraud, *older])
    bench.drain()
    assert late(bench, "fraud") == sorted(missing, key=lambda one: str(one["prediction_id"]))
    for name, value in {
        "WATCHFLOOR_KAFKA": bench.options.servers,
        "WATCHFLOOR_PREFIX": bench.options.prefix,
        **clickhouse.variables(bench.store.database),
    }.items():
        monkeypatch.setenv(name, value)
    counts = {"fraud": 2, "conflict": len(labels["conflict"]), "ocr_trust": len(labels["ocr_trust"])}
    assert ran("--dry-run") == {n: {"labels": count, "published": 0, "unmatched": 0} for n, count in counts.items()}
    assert ran("--dry-run", "--model", "fraud") == {"fraud": {"labels": 2, "published": 0, "unmatched": 0}}
    assert ran() == {n: {"labels": count, "published": count, "unmatched": 0} for n, count in counts.items()}
    bench.drain()
    stored = {str(row["prediction_id"]): row for row in bench.rows(LABELLED_PREDICTIONS)}
    for model in joining.JOINS:
        assert late(bench, model) == []
        lost(bench, model)
        for each in wanted[model]:
            found = stored.pop(each["prediction_id"])
            assert [found[name] for name in ("label", "source", "label_version", "outcome_id")] == [
                each[name] for name in ("label", "source", "label_version", "outcome_id")
            ]
    assert not stored


def ran(*arguments: str) -> Any:
    result = CliRunner().invoke(main, ["jobs", "run", "join-outcomes", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def lost(bench: Bench, model: str) -> None:
    """What matches nothing becomes a dead letter that holds it whole, once, after its time and not before."""
    prefix, since, now = bench.options.prefix, NOW_MS - HOUR_MS, int(time.time() * 1000) + 60_000
    topic = joining.JOINS[model].outcomes
    letters = list(joining.unmatched(bench.store, model, prefix, since, now))
    held = [topic.codec.decode(each["value"]) for each in letters]
    assert sorted(held, key=str) == sorted(OUTCOMES[model][-LOST[model] :], key=str)
    of_other = list(joining.unmatched(bench.store, model, prefix, since, now, "other"))
    assert of_other == [each for each in letters if each["tenant_id"] == "other"]
    for each, one in zip(letters, held, strict=True):
        assert each["tenant_id"] == one["tenant_id"]
        event = f"{one['event_id']} of {one['tenant_id']}"
        assert each["message"] == f"no event {event} with this key was scored within 30 days"
        assert mended(Letter(0, 0, 0, each), prefix) == each["value"]
    assert Letters(bench.options.servers, prefix).bury(letters) == LOST[model]
    bench.drain()
    assert list(joining.unmatched(bench.store, model, prefix, since, now)) == []
    of_model = [row for row in bench.rows(DEAD_LETTERS) if row["source_topic"] == prefix + topic.name]
    assert {(row["agent"], row["error_class"]) for row in of_model} == {("join-outcomes", "UnmatchedOutcome")}
