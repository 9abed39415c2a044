"""Readings and corrections out of files in their public schemas, for evaluation and training."""

from pathlib import Path
from typing import Any

from models.ocr.assets import NO_RULES
from models.ocr.evaluation import Cases, cases
from models.ocr.redaction import Keys
from models.ocr.replay import replay
from producers.tables import FileError
from schemas import topics
from watchfloor import event_files
from watchfloor.event_files import Refused, Told

LOCAL_KEYS = Keys(b"for files that are read at one place")
"""Fingerprints of files are compared with each other alone, so any key will do."""


def read(events: Path, outcomes: Path, refused: Refused, told: Told) -> tuple[list[Any], list[Any]]:
    """Readings and corrections by time; of several readings with one id the first counts. Raises FileError."""
    found = event_files.events(events, topics.EVENTS_OCR, refused, told)
    if not found:
        raise FileError(f"{events} has no readings ({refused.why})")
    said = list(event_files.records(outcomes, topics.OUTCOMES_OCR, refused, told))
    said.sort(key=lambda outcome: outcome["decided_at"])
    return found, said


def measured(
    events: list[Any], outcomes: list[Any], until_ms: int, truth: frozenset[tuple[str, str]] | None = None
) -> dict[str, Cases]:
    """The readings of each tenant, measured by the code of the stream."""
    return cases(replay(events, outcomes, NO_RULES, LOCAL_KEYS), until_ms, truth)
