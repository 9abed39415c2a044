"""`watchfloor evaluate fraud` on a small simulated world."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from models.fraud.evaluation import CONTENDERS, GLOBAL
from tests.watchfloor.attendance import TENANT, options, simulated
from watchfloor.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("world"))


def evaluate(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["evaluate", "fraud", *arguments])
    assert result.exit_code == code, result.output
    return result


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def plain(world: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report and the scores as they are."""
    scores = world / "scores.jsonl"
    report = json.loads(evaluate(*options(world), "--scores", str(scores), "--json").stdout)
    return report, lines(scores)


def test_the_report_compares_all_models_on_what_came_later(
    world: Path, plain: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    report, scores = plain
    given = lines(world / "events.attendance.jsonl")
    assert report["events"] == len(given)
    assert report["first"] < report["train_until"] < report["last"]
    assert report["refused"]["lines"] == 0
    names = [str(contender) for contender in CONTENDERS]
    assert report["served"] in names
    for part in report["tenants"].values():
        assert list(part["models"]) == names
    large = report["tenants"][TENANT]["models"]
    assert all(model["fallback"] is None for model in large.values())
    # What it learned helps, and the better features more.
    worth = [large[name]["pr_auc"] for name in ("heuristic fraud_v2", "xgboost fraud_v1", "xgboost fraud_v2")]
    assert worth == sorted(worth)
    served = large[report["served"]]
    assert served["cuts"]["HIGH"]["share"] < 0.1
    assert set(served["coverage"]) == {"venn_abers", "mondrian", "absolute_residual"}
    assert served["audit"]["hidden_low"] <= served["audit"]["hidden_true"] <= served["audit"]["hidden_high"]
    assert report["all"][report["served"]]["rows"] == sum(part["labelled"] for part in report["tenants"].values())

    until = report["train_until"]
    later = {each["event_id"] for each in given if _iso(each["occurred_at"]) >= until}
    assert len(scores) == len(later) * len(names)
    assert {(one["model"], one["feature_set"]) for one in scores} == {each[:2] for each in CONTENDERS}
    assert {one["event_id"] for one in scores} == later
    assert set(scores[0]) == {
        "tenant_id", "event_id", "model", "model_version", "feature_set", "probability", "interval_low",
        "interval_high", "risk_level", "decision",
    }  # fmt: skip
    for one in scores:
        low, high = one["interval_low"], one["interval_high"]
        assert 0 <= one["probability"] <= 1
        assert low is None or low <= one["probability"] <= high


def _iso(time: Any) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC) if isinstance(time, int) else datetime.fromisoformat(time)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def test_nothing_from_later_is_learned(
    world: Path, tmp_path: Path, plain: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    """With every verdict given later turned round, and events after a week gone, the scores are the same."""
    report, scores = plain
    until = report["train_until"]
    turned = {"fraud": "genuine", "genuine": "fraud", "unsure": "fraud"}
    outcomes = [
        one if _iso(one["decided_at"]) <= until else one | {"verdict": turned[one["verdict"]]}
        for one in lines(world / "outcomes.attendance.jsonl")
    ]
    assert outcomes != lines(world / "outcomes.attendance.jsonl")
    given = lines(world / "events.attendance.jsonl")
    kept = [one for number, one in enumerate(given) if _iso(one["occurred_at"]) < until or number < len(given) - 500]
    for name, records in (("events", kept), ("outcomes", outcomes)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    files = {"events": tmp_path / "events.jsonl", "outcomes": tmp_path / "outcomes.jsonl"}
    again = tmp_path / "scores.jsonl"
    evaluate(*options(world, **files), "--train-until", until, "--scores", str(again), "--json")
    events = {one["event_id"] for one in kept}
    assert lines(again) == [one for one in scores if one["event_id"] in events]


def test_the_order_of_the_file_and_repeats_change_nothing(
    world: Path, tmp_path: Path, plain: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    report, _ = plain
    given = (world / "events.attendance.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(given[::-1] + given[:50]))
    again = json.loads(evaluate(*options(world, events=tmp_path / "events.jsonl"), "--json").stdout)
    assert again["events"] == report["events"]
    assert again["all"] == report["all"]


def test_the_truth_may_judge_and_tenants_may_pool(
    world: Path, plain: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    report, _ = plain
    options_ = (*options(world), "--truth", str(world / "truth.jsonl"), "--pool", TENANT)
    found = json.loads(evaluate(*options_, "--json").stdout)
    assert (found["judged_by"], report["judged_by"]) == ("truth", "verdicts")
    for tenant, part in found["tenants"].items():
        assert part["labelled"] == part["events"] >= report["tenants"][tenant]["labelled"]
        shared, own = part["models"][str(GLOBAL)], part["models"][report["served"]]
        assert shared["training"]["train"] == found["tenants"][TENANT]["models"][report["served"]]["training"]["train"]
        # What pools alone is its own global model: nothing is gained by either.
        gain = part["ladder"]["gain"]
        if tenant == TENANT:
            assert (gain["difference"], part["ladder"]["serves"]) == (0.0, "global")
        elif gain is not None:
            assert part["ladder"]["serves"] == ("tenant" if gain["low"] > 0 else "global")
            assert gain["difference"] == pytest.approx(own["pr_auc"] - shared["pr_auc"], abs=1e-3)
        else:
            assert part["ladder"]["why"] == own["fallback"]
    assert found["all"][str(GLOBAL)]["rows"] == found["all"][report["served"]]["rows"]


def test_a_table_for_people_says_what_is_missing(world: Path, tmp_path: Path) -> None:
    few = tmp_path / "outcomes.jsonl"
    few.write_text("".join((world / "outcomes.attendance.jsonl").read_text().splitlines(keepends=True)[:30]) + "no\n")
    said = evaluate("--events", str(world / "events.attendance.jsonl"), "--outcomes", str(few)).output
    assert "training needs 200 labelled cases" in " ".join(said.split())
    assert "1 lines are no records: outcomes.jsonl, line 31" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--train-until", "2030-01-01"), "not after the last one"),
        (("--train-until", "1999-01-01"), "must be after the first event"),
        (("--train-until", "soon"), "expected an ISO 8601 time"),
    ],
)
def test_a_wrong_time_is_refused(world: Path, arguments: tuple[str, ...], said: str) -> None:
    result = evaluate(*options(world), *arguments, code=2)
    assert said in " ".join(result.stderr.split())


def test_a_file_without_events_is_refused(world: Path, tmp_path: Path) -> None:
    empty = tmp_path / "events.jsonl"
    empty.write_text('{"tenant_id": "acme"}\n')
    result = evaluate(*options(world, events=empty), code=1)
    assert "has no events" in result.stderr
    assert "line 1" in result.stderr
