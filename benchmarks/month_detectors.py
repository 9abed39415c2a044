"""What finds incidents in a made month: the shipped combination, and the plain trio as a yardstick."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.month import LEARNING_DAYS
from benchmarks.month_hosts import DAY, START_MS, Flags, Values
from models.alerts import KINDS, MINUTE_MS
from models.anomaly.forest_trainer import train
from models.metrics import NAMES
from schemas import topics
from streams.alerts import ALERTS
from streams.metrics import METRICS
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, run

TENANT = "month"
WINDOW, LEAST = 60, 30
"""The trio looks at the trailing hour and says nothing with fewer than 30 samples in it."""

FOREST_P = 0.001
"""The forest fires where at most one usual sample in a thousand is as unusual."""

ALL = "all nine"

TRIO = ("z-score, 3 sigma", "IQR, 1.5", "spike, 2 x mean")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that opened.

    Attributes:
        host: number of the host.
        metric: its name; empty where the alert is about the host.
        opened: sample at which it opened.
        kind, direction, severity, summary: as in the record, at the opening.
    """

    host: int
    metric: str
    opened: int
    kind: str = ""
    direction: str = ""
    severity: str = "WARNING"
    summary: str = ""


def candidates(name: str, values: Values, sent: Flags) -> list[tuple[int, bytes, bytes]]:
    """Candidates of one host by the metrics agent: (event time, key, value)."""
    topic = topics.ALERTS_CANDIDATES
    outcome = Outcome()
    minutes = np.arange(len(sent))
    for stretch in np.split(minutes, np.flatnonzero(np.diff(sent.astype(int))) + 1):
        if sent[stretch[0]]:
            run(METRICS, samples(name, values, stretch), start=outcome)
        else:
            # The other hosts' samples, one a minute, would carry the clock of a worker's partition on.
            for at in stretch.tolist():
                run(METRICS, (), start=outcome, tick=START_MS + at * MINUTE_MS)
    rows = [(key or b"", value or b"") for key, value in outcome.topic(topic.name)]
    assert not outcome.topic(topics.DEAD_LETTERS.name)
    return [(topic.codec.decode(value)["event_time"], key, value) for key, value in rows]


def samples(name: str, values: Values, minutes: NDArray[np.int_]) -> Iterator[InputRecord]:
    topic = topics.EVENTS_METRICS
    key = f"{TENANT}|{name}".encode()
    for at in minutes.tolist():
        time = START_MS + at * MINUTE_MS
        event = {"tenant_id": TENANT, "event_id": f"{name}-{at}", "host": name, "occurred_at": time, "extra": {}}
        event |= zip(NAMES, values[:, at].tolist(), strict=True)
        yield InputRecord(key, topic.codec.encode(event), time, at)


def shipped(names: list[str], found: Iterable[tuple[int, bytes, bytes]]) -> list[Alert]:
    """The alerts that the alert agent makes of the candidates of all hosts, in the order of event time."""
    records = [InputRecord(key, value, time, offset) for offset, (time, key, value) in enumerate(sorted(found))]
    decode = topics.ALERTS.codec.decode
    out = []
    for _, value in run(ALERTS, records).topic(topics.ALERTS.name):
        version = decode(value or b"")
        if version["seq"] == 1:
            opened = (version["opened_at"] - START_MS) // MINUTE_MS
            what = (version["kind"], version["direction"], version["severity"], version["summary"])
            out.append(Alert(names.index(version["subject"]), version["metric"], opened, *what))
    return out


def trio(host: int, values: Values, sent: Flags) -> dict[str, list[Alert]]:
    """Alerts of the plain rules on one host: of each rule alone, of any, and of all of them together."""
    out: dict[str, list[Alert]] = {}
    for row, metric in enumerate(NAMES):
        fires = rules(np.where(sent, values[row], np.nan))
        several = {"any of the three": fires.any(axis=0), "all three at once": fires.all(axis=0)}
        for name, flags in (dict(zip(TRIO, fires, strict=True)) | several).items():
            opened = openings(flags, sent)
            out.setdefault(name, []).extend(Alert(host, metric, at) for at in opened)
    return out


def forest(host: int, values: Values, sent: Flags) -> list[Alert]:
    """Alerts of an isolation forest that is trained once, on the host's first ten days, and fires from FOREST_P on."""
    at = np.flatnonzero(sent)
    known = at < LEARNING_DAYS * DAY
    trained, _ = train(START_MS + at[known] * MINUTE_MS, values[:, at[known]].T)
    new = at[~known]
    scores = np.concatenate([trained.scores(part) for part in np.array_split(values[:, new].T, 1 + len(new) // 1000)])
    fires = np.zeros(len(sent), dtype=bool)
    fires[new] = [trained.p_value(score) <= FOREST_P for score in scores.tolist()]
    return [Alert(host, ALL, opened) for opened in openings(fires, sent)]


def rules(values: Values) -> Flags:
    """Which samples fire, (3, samples) in the order of TRIO; what is missing is NaN and never fires.

    The same rules as in `benchmarks.plain`, over a whole series at once.
    """
    padded = np.concatenate([np.full(WINDOW, np.nan), values[:-1]])
    trailing = np.sort(sliding_window_view(padded, WINDOW), axis=1)  # what is missing comes last
    there = ~np.isnan(trailing)
    count = there.sum(axis=1)
    known = (count >= LEAST) & ~np.isnan(values)
    many = np.maximum(count, 1)
    mean = np.where(there, trailing, 0).sum(axis=1) / many
    spread = np.sqrt(np.where(there, (trailing - mean[:, None]) ** 2, 0).sum(axis=1) / many)
    every = np.arange(len(values))
    low, high = trailing[every, count // 4 % WINDOW], trailing[every, 3 * count // 4 % WINDOW]
    value = np.where(known, values, mean)
    low, high = np.where(known, low, mean), np.where(known, high, mean)
    apart, beyond = np.abs(value - mean), np.maximum(low - value, value - high)
    fires = (
        (apart > 0) & (apart >= 3 * spread),
        (beyond > 0) & (beyond >= 1.5 * (high - low)),
        (mean > 0) & (value >= 2 * mean),
    )
    return np.array([each & known for each in fires])


def openings(fires: Flags, sent: Flags) -> list[int]:
    """Samples at which an alert opens by the product's own rules, so that only the detectors differ.

    It ends after 5 clean samples in a row; none opens while one is open, nor within an hour of the last opening.
    """
    kind = KINDS["metric_anomaly"]
    number = np.cumsum(sent)
    quiet = kind.quiet_ms // MINUTE_MS
    out: list[int] = []
    active, last = False, 0
    for at in np.flatnonzero(fires).tolist():
        clean = number[at] - number[last] - 1
        active = active and clean < kind.clean_samples
        if not active and (not out or at >= out[-1] + quiet):
            out.append(at)
            active = True
        last = at
    return out
