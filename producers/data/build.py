"""Makes host-week.csv.gz from the Numenta Anomaly Benchmark: `python producers/data/build.py FOLDER_OF_NAB`.

Three recorded server metrics, each over a week of its own, laid side by side as one host's week at 60 s.
README.md beside this file says what was taken and what was done to it.
"""

import csv
import gzip
import io
import json
import sys
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

HERE = Path(__file__).parent
START = datetime(2014, 3, 3, tzinfo=UTC)
STEP = timedelta(seconds=60)
ROWS = 7 * 24 * 60
PERIOD_S = 300.0  # the recordings' own interval
LONGEST_GAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Series:
    """Seven days of one recording. `scale` turns its values into the metric's unit."""

    metric: str
    file: str
    start: datetime
    scale: float
    digits: int


SERIES = (
    Series("cpu_percent", "realAWSCloudwatch/ec2_cpu_utilization_fe7f93.csv", datetime(2014, 2, 16, tzinfo=UTC), 1, 3),
    Series(
        "disk_write_bytes_per_s",
        "realAWSCloudwatch/ec2_disk_write_bytes_1ef3de.csv",
        datetime(2014, 3, 4, 18, tzinfo=UTC),
        1 / PERIOD_S,
        0,
    ),
    Series(
        "request_latency_ms",
        "realKnownCause/ec2_request_latency_system_failure.csv",
        datetime(2014, 3, 13, tzinfo=UTC),
        1,
        3,
    ),
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def recorded(path: Path) -> tuple[list[datetime], list[float]]:
    """Times and values of a recording, in order; of two values at one time the first."""
    points: dict[datetime, float] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            points.setdefault(utc(row["timestamp"]), float(row["value"]))
    times = sorted(points)
    return times, [points[time] for time in times]


def week(series: Series, folder: Path) -> list[str]:
    """The series at every minute of its week, on the line between its neighbours; empty in a gap of the recording."""
    times, values = recorded(folder / "data" / series.file)
    cells = []
    for row in range(ROWS):
        now = series.start + row * STEP
        after = bisect_right(times, now)
        if not 0 < after < len(times) or times[after] - times[after - 1] > LONGEST_GAP:
            cells.append("")
            continue
        share = (now - times[after - 1]) / (times[after] - times[after - 1])
        value = values[after - 1] + share * (values[after] - values[after - 1])
        cells.append(f"{value * series.scale:.{series.digits}f}")
    return cells


def incidents(series: Series, folder: Path) -> list[dict[str, str]]:
    """What the benchmark's people labelled in that week, at the time in our week."""
    labels = json.loads((folder / "labels" / "combined_labels.json").read_text())[series.file]
    end = series.start + ROWS * STEP
    return [
        {"metric": series.metric, "at": (START + (utc(label) - series.start)).isoformat(), "recorded_at": f"{label}Z"}
        for label in labels
        if series.start <= utc(label) < end
    ]


def main(folder: Path) -> None:
    columns = [week(series, folder) for series in SERIES]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["tenant_id", "event_id", "host", "occurred_at", *(series.metric for series in SERIES)])
    for row, cells in enumerate(zip(*columns, strict=True)):
        time = (START + row * STEP).strftime("%Y-%m-%dT%H:%M:%SZ")
        writer.writerow(["local", f"week-{row:05}", "recorded", time, *cells])
    (HERE / "host-week.csv.gz").write_bytes(gzip.compress(out.getvalue().encode(), 9, mtime=0))
    found = sorted((each for series in SERIES for each in incidents(series, folder)), key=lambda each: each["at"])
    (HERE / "host-week.json").write_text(json.dumps({"incidents": found}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
