"""OCR readings in the demonstration: the least trusted ones, what is kept of a plate, and what a review finds."""

import time
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from models.classifiers import Examples
from models.decisions import RISKY
from models.ocr import heuristic
from models.ocr.artifact import NAME
from models.ocr.evaluation import caught
from models.ocr.features import NAMES, OCR_V1, PLACE
from models.ocr.training import SPAN_MS, Result, learn
from schemas.topics import EVENTS_OCR, OUTCOMES_OCR, PREDICTIONS_OCR_TRUST
from sinks.labelled import Wanted, labelled
from sinks.store import quoted
from watchfloor.demo.tenant import TenantAct, table
from watchfloor.demo.worlds import Record, World, readings

REVIEWED = 0.05
"""Of the readings, those that people look at."""

CAPTURES = """
SELECT source_type, count() AS captures, countIf(origin = 'correction') AS gold, countIf(wrong) AS misread,
    argMaxIf(text, event_id, wrong) AS read, argMaxIf(corrected_text, event_id, wrong) AS shows,
    argMaxIf(length(fingerprints), event_id, wrong) AS prints
FROM {database}.v_ocr_captures GROUP BY source_type ORDER BY source_type
"""


class Readings(TenantAct):
    """Meters and plates."""

    name, view = "readings", "v_outcomes_ocr"
    model, events, outcomes, answers = NAME, EVENTS_OCR, OUTCOMES_OCR, PREDICTIONS_OCR_TRUST
    title = "Meters and plates, as cameras read them and people correct them"
    nouns = ("readings", "corrections and confirmations")
    rule = heuristic.VERSION

    def world(self, today: date) -> World:
        return readings(today)

    def learn(self, tenant: str) -> tuple[Result, str]:
        now = int(time.time() * 1000)
        wanted = Wanted(NAME, tenant, OCR_V1, len(NAMES), now - SPAN_MS, now, now)
        trained = learn(Examples.of(*labelled(self.store, wanted)), "xgboost")
        learned = trained.about["train"]
        return trained, f"of {learned['rows']:,} judged readings, {learned['positives']:,} of them wrong"

    def line(self, prediction: Record) -> tuple[str, str] | None:
        if prediction["advice"] is None or prediction["risk_level"] not in RISKY:
            return None
        asset = prediction["subject"].partition("|")[2]
        return "READING", f"of {asset} ({prediction['probability']:.0%} wrong): {prediction['advice']}"

    def worth(self, world: World, scored: Sequence[Record]) -> dict[str, Any]:
        shares = reviewed(scored, world.truth)
        wrong = sum(row["event_id"] in world.truth for row in scored)
        words = {
            "served": f"by {scored[0]['model_version']}",
            "rule": "by the rule",
            "confidence": "by confidence alone",
        }
        where = f"of {wrong} wrong readings are in the {REVIEWED:.0%} least trusted of {len(scored):,}"
        rows = [(words[name], "-" if share is None else f"{share:.0%}", where) for name, share in shares.items()]
        figures: dict[str, Any] = {"wrong": wrong} | {f"{name}_caught": share for name, share in shares.items()}
        found = self.store.query(CAPTURES.format(database=quoted(self.store.database)))
        for row in found:
            said = f"{row['gold']} corrected or confirmed, {row['misread']} wrong; such as {row['read']!r} for "
            said += f"{row['shows']!r}" + (f" and {row['prints']} fingerprints" if row["prints"] else "")
            rows.append((f"captures, {row['source_type']}", f"{row['captures']:,}", said))
        figures["captures"] = {row["source_type"]: row["captures"] for row in found}
        self.terminal.table(rows)
        return figures


def reviewed(scored: Sequence[Record], truth: frozenset[str]) -> dict[str, float | None]:
    """Share of the wrong readings that a review of the least trusted finds: of what serves, of the rule and of the
    engines' own confidence. None where none is wrong.
    """
    features = table(scored)
    wrong = np.array([row["event_id"] in truth for row in scored])
    doubts = {
        "served": np.array([row["probability"] for row in scored], dtype=np.float64),
        "rule": heuristic.probabilities(features),
        "confidence": 1.0 - features[:, PLACE["confidence"]],
    }
    return {name: caught(wrong, scores, REVIEWED) for name, scores in doubts.items()}
