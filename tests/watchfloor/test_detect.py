"""`watchfloor detect` over files of many forms."""

import csv
import gzip
import json
import math
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from models.anomaly import DETECTORS
from watchfloor.commands.detect import command
from watchfloor.episodes import Quiet, Run, steps
from watchfloor.series import Series, SeriesError, milliseconds, read

BEGIN = datetime(2025, 3, 1, tzinfo=UTC)
BEGIN_MS = int(BEGIN.timestamp() * 1000)
COUNT, SPIKE = 1200, 1000

Row = tuple[datetime, float]


def rows() -> list[Row]:
    chance = random.Random(1)
    values = [40 + 10 * math.sin(at / 288 * math.tau) + chance.gauss(0, 2) for at in range(COUNT)]
    values[SPIKE : SPIKE + 3] = [95.0, 96.0, 95.5]
    return [(BEGIN + timedelta(minutes=5 * at), round(value, 3)) for at, value in enumerate(values)]


def write_csv(
    path: Path, time: Callable[[datetime], Any], header: str = "timestamp,value", delimiter: str = ","
) -> None:
    with path.open("w", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerow(header.split(","))
        out.writerows((time(at), value) for at, value in rows())


def iso_naive(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S")


def epoch_ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def as_jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"cpu": value, "occurred_at": epoch_ms(at)}) + "\n" for at, value in rows()))


def as_parquet(path: Path) -> None:
    times, values = zip(*rows(), strict=True)
    table = pyarrow.table({"when": pyarrow.array(times, pyarrow.timestamp("us", "UTC")), "cpu": values})
    pyarrow.parquet.write_table(table, path)


def as_gzip(path: Path) -> None:
    plain = path.with_suffix("")
    write_csv(plain, iso_naive)
    path.write_bytes(gzip.compress(plain.read_bytes()))


FORMS: dict[str, Callable[[Path], None]] = {
    "naive.csv": lambda path: write_csv(path, iso_naive),
    "zone.csv": lambda path: write_csv(path, lambda at: (at + timedelta(hours=2)).isoformat()[:-6] + "+02:00", "t,cpu"),
    "seconds.csv": lambda path: write_csv(path, lambda at: int(at.timestamp()), "ts,cpu", ";"),
    "millis.csv": lambda path: write_csv(path, epoch_ms, "Time,cpu", "\t"),
    "nanos.csv": lambda path: write_csv(path, lambda at: epoch_ms(at) * 1_000_000, "time,cpu"),
    "lines.jsonl": as_jsonl,
    "table.parquet": as_parquet,
    "naive.csv.gz": as_gzip,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_the_same_series(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name)
    series = read(tmp_path / name)
    assert series.times == [BEGIN_MS + at * 300_000 for at in range(COUNT)]
    assert series.values == [value for _, value in rows()]
    assert (series.step_s, series.moved) == (300.0, 0)


def run(path: Path, *options: str) -> Result:
    return CliRunner().invoke(command, [str(path), *options])


def test_it_finds_the_spike_and_draws_it(tmp_path: Path) -> None:
    path = tmp_path / "cpu.csv"
    write_csv(path, iso_naive)
    done = run(path)
    assert done.exit_code == 0, done.output
    assert " alerts" in done.stdout
    assert "2025-03-04 11:20:00" in done.stdout
    picture = tmp_path / "cpu.csv.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000


def test_json_has_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "cpu.csv"
    write_csv(path, iso_naive)
    done = run(path, "--json", "--quiet", "120", "--threshold", "0.6")
    found = json.loads(done.stdout)
    assert (found["samples"], found["missing"], found["step_s"], found["threshold"]) == (COUNT, 0, 300.0, 0.6)
    assert (found["quiet_rows"], found["quiet_ms"]) == (120, None)
    *first_night, alert = found["alerts"]
    assert len(first_night) <= 1
    assert alert["begin"] == BEGIN_MS + SPIKE * 300_000
    assert alert["value"] in (95.0, 96.0)
    assert alert["usual_low"] < alert["expected"] < alert["usual_high"] < 80
    assert (alert["direction"], alert["score"] > 0.9) == ("up", True)


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    path, page = tmp_path / "a & b.csv", tmp_path / "out.html"
    write_csv(path, iso_naive)
    assert run(path, "--out", str(page)).exit_code == 0
    text = page.read_text()
    ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    assert "a &amp; b.csv" in text
    assert "2025-03-04 11:20:00" in text
    for outside in ("src=", "<link", "url(http", "@import"):
        assert outside not in text


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_can_be_chosen(name: str, tmp_path: Path) -> None:
    path = tmp_path / "cpu.csv"
    write_csv(path, iso_naive)
    done = run(path, "--detector", name, "--json")
    assert done.exit_code == 0, done.output
    begins = [alert["begin"] for alert in json.loads(done.stdout)["alerts"]]
    samples = [(begin - BEGIN_MS) // 300_000 for begin in begins]
    # Three samples are no drift, and standing knows a series after a week.
    assert any(SPIKE <= at <= SPIKE + 2 for at in samples) is (name not in ("drift", "standing"))


def test_a_calm_series_has_no_alert(tmp_path: Path) -> None:
    path = tmp_path / "flat.csv"
    path.write_text("time,value\n" + "".join(f"{iso_naive(at)},5\n" for at, _ in rows()))
    done = run(path)
    assert done.exit_code == 0
    assert "No alert in 1,200 samples" in done.stdout


def test_missing_values_and_rows_out_of_order_are_no_obstacle(tmp_path: Path) -> None:
    lines = [f"{iso_naive(at)},{'' if n % 50 == 7 else value}" for n, (at, value) in enumerate(rows())]
    lines[10], lines[500] = lines[500], lines[10]
    path = tmp_path / "holes.csv"
    path.write_text("time,value\n" + "\n".join(lines))
    series = read(path)
    assert series.times == sorted(series.times)
    assert series.moved > 0
    assert sum(value is None for value in series.values) == COUNT / 50
    assert run(path).exit_code == 0


@pytest.mark.parametrize("hole", ["nan", "NaN", "inf", "-Infinity", "null", "N/A", "-", " "])
def test_what_is_no_number_is_missing(hole: str, tmp_path: Path) -> None:
    path = tmp_path / "holes.csv"
    path.write_text(f"time,value\n2025-01-01,{hole}\n2025-01-02,3\n")
    assert read(path).values == [None, 3.0]


def test_a_picture_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path, taken = tmp_path / "cpu.csv", tmp_path / "taken.png"
    write_csv(path, iso_naive)
    taken.symlink_to(tmp_path / "no" / "such" / "folder.png")
    done = run(path, "--out", str(taken))
    assert done.exit_code == 1
    assert "cannot be written" in done.stderr
    assert "Name another place with --out" in " ".join(done.stderr.split())


def test_static_limits_have_no_warm_up_to_draw(tmp_path: Path) -> None:
    path, page = tmp_path / "cpu.csv", tmp_path / "cpu.html"
    path.write_text(
        "time,value\n" + "".join(f"{iso_naive(at)},{97 if n > 900 else 20}\n" for n, (at, _) in enumerate(rows()))
    )
    assert run(path, "--detector", "static", "--out", str(page)).exit_code == 0
    assert "over 95" in page.read_text()
    assert "warm-up" not in page.read_text()
    assert run(path, "--out", str(page)).exit_code == 0
    assert "warm-up" in page.read_text()


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    path = tmp_path / "host.csv"
    path.write_text("host,occurred_at,cpu_percent,memory_percent\n" + "web-1,2025-03-01T00:00:00Z,5,60\n" * 3)
    assert (read(path).time, read(path).name, read(path).others) == ("occurred_at", "cpu_percent", ("memory_percent",))
    assert read(path, value="memory_percent").values == [60.0] * 3


WRONG: dict[str, tuple[str, str, list[str]]] = {
    "no rows": ("time,value\n", "holds no rows", []),
    "one row": ("time,value\n2025-01-01,3\n", "a series needs two or more", []),
    "no time": ("a,b\n1,2\n3,4\n", "no column looks like a time; name it with --time. Columns: a, b", []),
    "no value": ("time,name\n2025-01-01,x\n2025-01-02,y\n", "no column holds numbers", []),
    "no such column": ("time,value\n2025-01-01,3\n", "no column 'cpu'; it has time, value", ["--value", "cpu"]),
    "a bad value": ("time,value\n" + "2025-01-01,3\n" * 300 + "2025-01-02,x\n", "row 301: expected a number", []),
    "a bad time": ("time,value\n" + "2025-01-01,3\n" * 300 + "soon,3\n", "row 301: expected an ISO 8601", []),
    "a short row": ("time,value\n2025-01-01\n", "row 1: expected 2 fields, got 1", []),
    "no header": ("1,2\n3,4\n", "expected a header", []),
    "only holes": (
        "time,value\n2025-01-01,nan\n2025-01-02,\n",
        "every value in 'value' is missing",
        ["--value", "value"],
    ),
    "a twin": ("time,a,a\n1,2,3\n", "names a column twice", []),
    "a wrong quiet time": ("time,value\n", "expected a duration such as 90s", ["--quiet", "soon"]),
    "a wrong picture": ("time,value\n", "ends in .png or .html", ["--out", "x.gif"]),
}


@pytest.mark.parametrize(("content", "message", "options"), WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_said(content: str, message: str, options: list[str], tmp_path: Path) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    done = run(path, *options)
    assert done.exit_code in (1, 2)
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize(("name", "content"), [("x.parquet", "PAR?"), ("x.jsonl", "{\n"), ("y.jsonl", "[1]\n")])
def test_damaged_files(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SeriesError, match=name):
        read(tmp_path / name)


def test_negative_epochs_are_no_times() -> None:
    with pytest.raises(ValueError, match="is no time"):
        milliseconds(-5)


class Told:
    """Scores that are known beforehand."""

    name: ClassVar[str] = "told"

    def __init__(self, scores: list[float]) -> None:
        self.scores = iter(scores)

    def update_ms(self, epoch_ms: int, value: float | None) -> float:
        return next(self.scores)

    def update(self, timestamp: datetime, value: float | None) -> float:
        return next(self.scores)

    def explain(self) -> dict[str, Any]:
        return {"value": 0.0, "summary": ""}

    def load(self, read: Any) -> None: ...

    def changes(self) -> list[tuple[bytes, bytes | None]]:
        return []


# scores in tenths one minute apart, quiet time, (begin, end) of the episodes
EPISODES: dict[str, tuple[str, Quiet, list[tuple[int, int]]]] = {
    "one": ("0090", Quiet(ms=600_000), [(2, 2)]),
    "within the quiet time": ("9000000090", Quiet(ms=600_000), [(0, 8)]),
    "after it": ("9" + "0" * 12 + "9", Quiet(ms=600_000), [(0, 0), (13, 13)]),
    "on and on": ("9" * 30, Quiet(ms=600_000), [(0, 29)]),
    "quiet in rows": ("9000000090", Quiet(rows=3), [(0, 0), (8, 8)]),
}


@pytest.mark.parametrize(("scores", "quiet", "expected"), EPISODES.values(), ids=EPISODES.keys())
def test_episodes(scores: str, quiet: Quiet, expected: list[tuple[int, int]]) -> None:
    count = len(scores)
    series = Series("t", "v", (), [BEGIN_MS + at * 60_000 for at in range(count)], [1.0] * count, 0)
    into = Run([], [], [])
    assert list(steps(Told([int(each) / 10 for each in scores]), series, 0.5, quiet, into)) == list(range(count))
    assert [(episode.begin, episode.end) for episode in into.episodes] == expected
