"""`watchfloor simulate ocr`, `evaluate ocr_trust` and `train ocr_trust`, on files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from pydantic import ValidationError

from models.classifiers import Examples
from models.ocr import artifact
from models.ocr.evaluation import UNKNOWN, caught
from models.ocr.features import NAMES
from models.ocr.training import Sample, learn
from models.registry import Place, Registry, Trust
from watchfloor import ocr_files
from watchfloor.cli import main
from watchfloor.event_files import Refused, truths
from watchfloor.settings import Settings, in_words


def ran(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(arguments))
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world")
    size = {"tenants": 1, "meters": 30, "gates": 1, "days": 60, "error-rate": 0.1, "checked": 0.15}
    asked = [part for name, value in size.items() for part in (f"--{name}", str(value))]
    ran("simulate", "ocr", *asked, "--out", str(out))
    return out


def files(world: Path) -> list[str]:
    return ["--events", str(world / "events.ocr.jsonl"), "--outcomes", str(world / "outcomes.ocr.jsonl")]


def test_the_trust_score_finds_more_wrong_readings_than_the_confidence(world: Path, tmp_path: Path) -> None:
    scores = tmp_path / "scores.jsonl"
    more = ["--truth", str(world / "truth.jsonl"), "--scores", str(scores), "--json"]
    found: dict[str, Any] = json.loads(ran("evaluate", "ocr_trust", *files(world), *more).stdout)
    every = found["all"]
    assert found["tenants"]["tenant-1"]["xgboost"]["fallback"] is None
    assert every["xgboost"]["caught_5"] > 1.5 * every["confidence"]["caught_5"]
    assert every["heuristic"]["caught_5"] > every["confidence"]["caught_5"]
    lines = [json.loads(line) for line in scores.read_text().splitlines()]
    assert len(lines) == 4 * every["xgboost"]["rows"]


def test_who_has_too_few_corrections_is_told_so(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("events.ocr.jsonl", "outcomes.ocr.jsonl"):
        lines = (world / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:300]))
    shown = ran("evaluate", "ocr_trust", *files(tmp_path)).output
    assert "top 5 %" in shown
    assert "by corrections" in shown
    assert "where a model is missing the heuristic scores: training needs 200 labelled cases" in shown


def test_a_version_is_stored_that_scores(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WATCHFLOOR_SIGNING_KEY", str(tmp_path / "key.pem"))
    monkeypatch.setenv("WATCHFLOOR_TRUSTED_KEYS", str(tmp_path / "trusted"))
    ran("models", "keygen", "--name", "tests")
    found = json.loads(ran("train", "ocr_trust", "--tenant", "tenant-1", *files(world), "--json").stdout)
    assert (found["model"], found["feature_set"], found["stored"]) == ("ocr_trust", "ocr_v1", True)
    assert found["metrics"]["caught_10"] >= found["metrics"]["confidence_caught_10"]
    settings = Settings()
    registry = Registry(settings.model_store, Trust.read(settings.trusted_keys))
    model = artifact.unpack(registry.load(Place("ocr_trust", "tenant-1"), found["version"]))
    assert model.features == NAMES
    assert model.score(np.full((2, 19), np.nan)).probability.shape == (2,)


def test_a_fair_sample_makes_probabilities_as_high_as_they_should_be(world: Path) -> None:
    refused = Refused()
    events, outcomes = (world / f"{name}.ocr.jsonl" for name in ("events", "outcomes"))
    wrong = truths(world / "truth.jsonl")
    found = ocr_files.read(events, outcomes, refused, lambda what, share: None)
    cases = ocr_files.measured(*found, 2**62, wrong)["tenant-1"]
    rows = np.flatnonzero(cases.early != UNKNOWN)
    examples = Examples.of(cases.times_ms[rows], cases.vectors[rows], cases.early[rows] == 1)
    share = float((cases.late == 1).mean())
    plain, fair = (learn(examples, "xgboost", 0, sample) for sample in (None, Sample(cases.vectors, share)))
    means = [float(each.scorer.score(cases.vectors).probability.mean()) for each in (plain, fair)]
    assert means[0] > 1.3 * share
    assert means[1] == pytest.approx(share, abs=1e-3)
    assert plain.about["sample"] is None
    assert fair.about["sample"] == {"wrong": share, "rows": len(cases.vectors)}


def test_too_few_readings(world: Path) -> None:
    until = "2026-01-04T00:00:00Z"
    result = ran("train", "ocr_trust", "--tenant", "tenant-1", *files(world), "--until", until, "--dry-run", code=3)
    assert "training needs 200 labelled cases" in result.output


def test_a_secret_that_is_too_short_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_OCR_SECRET", "short-and-secret")
    with pytest.raises(ValidationError) as caught_error:
        Settings()
    text = in_words(caught_error.value) or ""
    assert "WATCHFLOOR_OCR_SECRET" in text
    assert "short-and-secret" not in text
    monkeypatch.setenv("WATCHFLOOR_OCR_SECRET", "s" * 32)
    settings = Settings()
    assert settings.ocr_keys.of("acme") is not None
    assert "ssss" not in repr(settings)


def test_the_share_that_is_found() -> None:
    labels = np.array([True, False, False, True] + [False] * 16)
    assert caught(labels, np.arange(20, 0, -1.0), 0.05) == 0.5
    assert caught(labels, np.arange(20, 0, -1.0), 0.2) == 1.0
    # A score that says the same of all finds what chance finds.
    assert caught(labels, np.zeros(20), 0.25) == pytest.approx(0.25)
    assert caught(np.zeros(20, dtype=bool), np.zeros(20), 0.25) is None
