"""Evaluation of classifiers and rules on cases with known labels. See docs/models.md."""

from models.evaluation.measures import Stratum, audited_recall, exact_interval
from models.evaluation.report import Answers, figures, report

__all__ = ["Answers", "Stratum", "audited_recall", "exact_interval", "figures", "report"]
