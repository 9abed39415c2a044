"""Labelled cases as they were known at a time: predictions, and what had been said of their events by then.

The tables of labels keep the newest of each alone. Outcomes are kept as they were published, so what was known at a
time is what the stream's own join makes of those that had come. See docs/models.md, "Datasets".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np

from jobs.joining import JOINS, outcomes_table, verdicts
from schemas.topics import DAY_MS
from sinks.labelled import Labelled, Told
from sinks.predicted import Asked, predicted
from sinks.store import Store
from streams.outcomes import PRESUMED, Join, Verdict

TOLD = ("event_id", "prediction_id", "subject", "model_version", "probability", "held_out")
"""Of a prediction, what is told of its case."""


def cases(store: Store, asked: Asked) -> Iterator[Told]:
    """The cases with a label that says yes or no, by event time and id, some at a time.

    Beside TOLD, `columns` has source, decided_by, decided_at (epoch milliseconds) and outcome_id of the label.

    Raises:
        Unavailable, Refused, Mismatch: the database does not answer as it should.
    """
    join = JOINS[asked.model]
    # Clocks may differ, but nobody says a day ahead what an event was.
    since = max(0, asked.since_ms - DAY_MS)
    known = verdicts(store, asked.model, since, asked.as_of_ms, asked.tenant).get(asked.tenant, {})
    # Where silence says something, what nobody spoke of counts, too.
    judged = outcomes_table(join).name if join.presumed is None else None
    for columns in predicted(store, replace(asked, judged=judged)):
        found = enumerate(_labels(join, known, asked, columns))
        rows = {row: verdict for row, verdict in found if verdict is not None and verdict.label is not None}
        if rows:
            yield _told(columns, rows)


def _labels(
    join: Join, known: Mapping[tuple[bytes, str], Verdict], asked: Asked, columns: Mapping[str, Sequence[Any]]
) -> list[Verdict | None]:
    """What held of each prediction."""
    since = asked.as_of_ms - (join.presumed or timedelta(0)) // timedelta(milliseconds=1)
    out: list[Verdict | None] = []
    names = ("subject", "event_id", "record_time")
    for subject, event, made in zip(*(columns[name] for name in names), strict=True):
        key = join.predictions.key_of({"tenant_id": asked.tenant, "subject": subject})
        silent = PRESUMED if join.presumed is not None and made <= since else None
        out.append(known.get((key, event), silent))
    return out


def _told(columns: Mapping[str, Sequence[Any]], rows: Mapping[int, Verdict]) -> Told:
    """The cases of some rows, with what holds of them."""
    times = [columns["event_time"][row] for row in rows]
    about = [verdict.about(time) for verdict, time in zip(rows.values(), times, strict=True)]
    told = {name: [columns[name][row] for row in rows] for name in TOLD}
    told |= {name: [each[name] for each in about] for name in ("source", "decided_by", "decided_at", "outcome_id")}
    vectors = np.array([list(columns["features"][row]) for row in rows], dtype=np.float64)
    labels = np.array([each["label"] for each in about], dtype=np.bool_)
    return Told(Labelled(np.array(times, dtype=np.int64), vectors, labels), told)
