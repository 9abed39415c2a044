"""The random audit, as the database and `watchfloor evaluate audit` tell it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from models.evaluation import Stratum, audited_recall
from schemas import topics
from tests.conftest import Access
from tests.sinks.conftest import Bench
from tests.sinks.records import judged, prediction
from watchfloor.cli import main

pytestmark = [pytest.mark.kafka, pytest.mark.clickhouse]


def made(number: int, decision: str = "clear", **detail: float) -> dict[str, Any]:
    return prediction(number, model="fraud", slot="champion", decision=decision, detail={"cut_high": 0.7, **detail})


def told(each: dict[str, Any], label: bool | None) -> dict[str, Any]:
    same = ("prediction_id", "event_id", "subject", "event_time", "decision")
    return judged(0, 1, model="fraud", slot="champion", label=label, **{name: each[name] for name in same})


def test_the_audit_s_verdicts_are_weighed_by_how_likely_each_was_drawn(
    bench: Bench, clickhouse: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    seldom = [made(n, audit_propensity=0.01, **({"audited": 1.0} if n < 12 else {})) for n in range(60)]
    often = [made(n, audit_propensity=0.5, **({"audited": 1.0} if n < 90 else {})) for n in range(60, 100)]
    without, others = [made(n) for n in range(100, 103)], [made(n, "alert") for n in range(103, 110)]
    # A verdict on what was cleared and not drawn came from somewhere else: it is no part of the sample.
    said = [*((each, n == 3) for n, each in enumerate(seldom[:10])), (seldom[10], None), (seldom[20], True)]
    said += [*((each, n < 2) for n, each in enumerate(often[:30])), (without[0], True)]
    said += [*((each, True) for each in others[:4]), (others[5], False)]
    bench.write(topics.PREDICTIONS_FRAUD, [*seldom, *often, *without, *others])
    bench.write(topics.LABELLED_FRAUD, [told(*each) for each in said])
    bench.drain()
    for name, value in clickhouse.variables(bench.store.database).items():
        monkeypatch.setenv(name, value)
    asked = ["evaluate", "audit", "--tenant", "local", "--since", "begin"]
    result = CliRunner().invoke(main, [*asked, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["found"], found["cleared"], found["cleared_without_audit"]) == (4, 100, 3)
    assert [list(each.values()) for each in found["strata"]] == [[0.01, 60, 12, 10, 1], [0.5, 40, 30, 30, 2]]
    assert found.items() >= audited_recall(4, [Stratum(60, 10, 1), Stratum(40, 30, 2)]).items()
    text = CliRunner().invoke(main, asked).stdout
    assert "60 cleared events, each drawn with probability 0.01: 12 drawn, 10 judged, 1 of them frauds" in text
    assert "3 more were cleared without an audit" in text
