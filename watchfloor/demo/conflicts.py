"""Sync conflicts in the demonstration: advice before a merge, and how many conflicts it was given for."""

import time
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from models.conflict import heuristic
from models.conflict.artifact import NAME
from models.conflict.features import LARGEST
from models.conflict.training import Result, learn
from models.decisions import RISKY
from models.evaluation.measures import ranking
from schemas.topics import EVENTS_SYNC, OUTCOMES_SYNC, PREDICTIONS_CONFLICT
from watchfloor.commands.train_conflict import logged
from watchfloor.demo.tenant import TenantAct, table
from watchfloor.demo.worlds import Record, World, syncs


class Conflicts(TenantAct):
    """Users who edit what others edit."""

    name, view = "syncs", "v_outcomes_sync"
    model, events, outcomes, answers = NAME, EVENTS_SYNC, OUTCOMES_SYNC, PREDICTIONS_CONFLICT
    title = "Syncs of mobile users who edit the same jobs, now and then without a network"
    nouns = ("syncs", "outcomes")
    rule = heuristic.VERSION

    def world(self, today: date) -> World:
        return syncs(today)

    def learn(self, tenant: str) -> tuple[Result, str]:
        trained = learn(*logged(self.settings, tenant, int(time.time() * 1000)), LARGEST, "logistic")
        learned = trained.about["train"]
        words = f"of {learned['rows']:,} syncs that were given no advice, {learned['positives']:,} of them conflicts"
        if trained.model is not None and trained.rule is not None:
            words += f"; on the newest {trained.model['rows']:,}: ROC-AUC {trained.model['roc_auc']:.2f}"
            words += f", the rule {trained.rule['roc_auc']:.2f}"
        return trained, words

    def line(self, prediction: Record) -> tuple[str, str] | None:
        if prediction["advice"] is None:
            return None
        return "SYNC", f"{prediction['subject']} ({prediction['probability']:.0%}): {prediction['advice']}"

    def worth(self, world: World, scored: Sequence[Record]) -> dict[str, Any]:
        truth = np.array([row["event_id"] in world.truth for row in scored])
        said = np.array([row["probability"] for row in scored], dtype=np.float64)
        flagged = np.array([row["risk_level"] in RISKY for row in scored])
        rule = heuristic.probabilities(table(scored))
        version = scored[0]["model_version"]
        rows, figures = [], {"conflicts": int(truth.sum()), "held_out": sum(row["held_out"] for row in scored)}
        for name, scores, high in (("served", said, flagged), ("rule", rule, rule >= heuristic.CUTS.high)):
            found, auc = int((high & truth).sum()), ranking(truth, scores)["roc_auc"]
            figures |= {f"{name}_high": int(high.sum()), f"{name}_found": found, f"{name}_roc_auc": auc}
            rows.append(
                (
                    f"HIGH by {version}" if name == "served" else "the rule would have called HIGH",
                    f"{high.sum()} of {len(scored):,} syncs",
                    f"{found} of {truth.sum()} conflicts among them" + ("" if auc is None else f"; ROC-AUC {auc:.2f}"),
                )
            )
        rows.append(("told nothing", f"{figures['held_out']}", "of HIGH, one in twenty by chance: to learn from"))
        self.terminal.table(rows)
        return figures
