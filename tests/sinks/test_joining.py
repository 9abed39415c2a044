"""The job that joins late outcomes makes what the stream would have made, once."""

import json
import time
from typing import Any

import pytest
from click.testing import CliRunner

from jobs import joining
from schemas import topics
from sinks.letters import Letters
from sinks.tables import DEAD_LETTERS, LABELLED_PREDICTIONS
from streams.fraud_outcomes import FRAUD_OUTCOMES
from streams.runtime.frame import InputRecord
from streams.runtime.offline import run
from tests.conftest import Access
from tests.sinks.conftest import Bench
from tests.sinks.records import NOW_MS, outcome, prediction
from watchfloor.cli import main
from watchfloor.dead_letters import Letter, mended

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]

Label = dict[str, Any]


def made(number: int, slot: str = "champion", **changes: Any) -> dict[str, Any]:
    """A prediction of fraud of event `number`."""
    return prediction(number, model="fraud", slot=slot, **changes)


PREDICTIONS = [made(n) for n in range(40)] + [made(1, "shadow:x", prediction_id="0b7c1e52-13c4-4b57-95ab-6f7c1d1a3a11")]
OUTCOMES = [
    *(outcome(n) for n in range(30)),
    outcome(4, outcome_id="later", verdict="fraud", decided_at=NOW_MS + 100),
    outcome(5, outcome_id="earlier", verdict="fraud", decided_at=NOW_MS - 100),
    outcome(6, outcome_id=None, verdict="fraud", decided_at=NOW_MS + 100),
    outcome(99),
    outcome(7, tenant_id="other", verdict="fraud", decided_at=NOW_MS + 100),
]


def streamed() -> list[Label]:
    """The newest labels that the stream's join makes of all of it."""
    source = [
        InputRecord(topic.key_of(one), topic.codec.encode(one), NOW_MS + 60_000, number, (), topic.name)
        for topic, records in ((topics.PREDICTIONS_FRAUD, PREDICTIONS), (topics.OUTCOMES_ATTENDANCE, OUTCOMES))
        for number, one in enumerate(records)
    ]
    codec = topics.LABELLED_FRAUD.codec
    found = [codec.decode(value or b"") for _, value in run(FRAUD_OUTCOMES, source).topic("labelled.fraud")]
    newest = {one["prediction_id"]: one for one in sorted(found, key=lambda one: one["label_version"])}
    return [newest[name] for name in sorted(newest)]


def late(bench: Bench, tenant: str | None = None) -> list[Label]:
    found = joining.late(bench.store, NOW_MS - 3_600_000, int(time.time() * 1000) + 60_000, tenant)
    return sorted(found, key=lambda one: str(one["prediction_id"]))


def test_late_outcomes_make_the_labels_of_the_stream_once(
    bench: Bench, clickhouse: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(topics.PREDICTIONS_FRAUD, PREDICTIONS)
    bench.write(topics.OUTCOMES_ATTENDANCE, OUTCOMES)
    bench.drain()
    labels = late(bench)
    assert labels == streamed()
    assert late(bench, "other") == []
    # Some of them are there already, one in an older version.
    bench.write(topics.LABELLED_FRAUD, [*labels[:10], labels[10] | {"label_version": 5}])
    bench.drain()
    assert late(bench) == labels[10:]
    for name, value in {
        "KAFKA": bench.options.servers,
        "PREFIX": bench.options.prefix,
        "CLICKHOUSE": clickhouse.url,
        "CLICKHOUSE_USER": clickhouse.user,
        "CLICKHOUSE_PASSWORD": clickhouse.password,
        "DATABASE": bench.store.database,
    }.items():
        monkeypatch.setenv(f"WATCHFLOOR_{name}", value)
    for arguments, wanted in ((["--dry-run"], 0), ([], len(labels) - 10)):
        result = CliRunner().invoke(main, ["jobs", "run", "join-outcomes", "--json", *arguments])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == {"labels": len(labels) - 10, "published": wanted, "unmatched": 0}
    bench.drain()
    assert late(bench) == []
    lost(bench)
    stored = {str(row["prediction_id"]): row["label_version"] for row in bench.rows(LABELLED_PREDICTIONS)}
    assert stored == {one["prediction_id"]: one["label_version"] for one in labels}


def lost(bench: Bench) -> None:
    """What matches nothing becomes a dead letter that holds it whole, once, after its time and not before."""
    now = int(time.time() * 1000) + 60_000
    letters = list(joining.unmatched(bench.store, bench.options.prefix, NOW_MS - 3_600_000, now))
    codec, nobody = topics.OUTCOMES_ATTENDANCE.codec, [outcome(99), OUTCOMES[-1]]
    assert sorted((codec.decode(each["value"]) for each in letters), key=str) == sorted(nobody, key=str)
    assert {each["tenant_id"]: each["message"] for each in letters} == {
        "local": "no event e99 of local was scored within 30 days",
        "other": "no event e7 of other was scored within 30 days",
    }
    assert len(list(joining.unmatched(bench.store, bench.options.prefix, NOW_MS - 3_600_000, now, "other"))) == 1
    assert Letters(bench.options.servers, bench.options.prefix).bury(letters) == 2
    bench.drain()
    assert list(joining.unmatched(bench.store, bench.options.prefix, NOW_MS - 3_600_000, now)) == []
    (stored, _) = bench.rows(DEAD_LETTERS)
    assert (stored["agent"], stored["error_class"]) == ("join-outcomes", "UnmatchedOutcome")
    for each in letters:
        assert mended(Letter(0, 0, 0, each), bench.options.prefix) == each["value"]
