"""Metric samples out of a file in the schema of events.metrics, for models that learn from them."""

from array import array
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import nan
from pathlib import Path

import numpy as np

from models.anomaly.history import History
from models.metrics import NAMES
from producers.records import Rejected, reader
from producers.replay import BadLine
from producers.tables import lines
from schemas.topics import EVENTS_METRICS

TELL_EVERY = 1000


@dataclass(slots=True)
class _Rows:
    times: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))


def histories(
    path: Path, tenant: str, hosts: Collection[str], until_ms: int, told: Callable[[float], None]
) -> list[History]:
    """The samples of each host in a file, the hosts ascending by name. The first of several with one event_id counts.

    Args:
        path: JSONL, CSV (both also .gz) or Parquet, as `watchfloor replay` takes it.
        tenant: samples of others are left out.
        hosts: only these; all where none is given.
        until_ms: samples after it are left out, epoch milliseconds.
        told: called from time to time with the share of the file that was read, 0 to 1.
    Raises:
        FileError: the file cannot be read.
        BadLine: a line is no sample; the message names the line and the field.
    """
    rows: dict[str, _Rows] = {}
    seen: set[str] = set()
    for line in lines(path, reader(EVENTS_METRICS)):
        if line.number % TELL_EVERY == 0:
            told(line.share)
        sample = line.record
        if isinstance(sample, Rejected):
            raise BadLine(f"{path}, line {line.number}: {sample}")
        if sample["tenant_id"] != tenant or (hosts and sample["host"] not in hosts):
            continue
        if sample["occurred_at"] > until_ms or sample["event_id"] in seen:
            continue
        seen.add(sample["event_id"])
        into = rows.setdefault(sample["host"], _Rows())
        into.times.append(sample["occurred_at"])
        into.values.extend(nan if sample[name] is None else sample[name] for name in NAMES)
    return [_history(host, rows[host]) for host in sorted(rows)]


def _history(host: str, rows: _Rows) -> History:
    times = np.array(rows.times, dtype=np.int64)
    order = np.argsort(times, kind="stable")
    vectors = np.array(rows.values, dtype=np.float64).reshape(len(times), len(NAMES))
    return History((host,), times[order], vectors[order], len(times))
