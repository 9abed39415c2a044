"""`python -m benchmarks.quality_ocr`: what six weekly batches of labeling tasks are worth, beside 50 random readings.

A simulated tenant's readings go through the product's agent once, so every model learns from the features that would
have been logged. Then, week by week, 50 readings are asked for, and the model is trained anew: with what the batch's
own selection picks, with 50 that are drawn, and with nothing but what people correct anyway. All models are judged on
the same readings of later weeks, by the simulator's truth, which selection never sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.report import Table, console, keep, show, usual
from models.classifiers import Examples, Plan, Scorer, TooFewLabels, train
from models.evaluation.measures import brier, ranking
from models.ocr import heuristic
from models.ocr.evaluation import SERVED, caught
from models.ocr.features import NAMES
from models.ocr.labeling import RANDOM
from models.ocr.prevalence import Week, prevalence
from models.ocr.redaction import Keys
from models.ocr.selection import QUOTAS, Candidate, select
from models.ocr.training import SPAN_MS, Sample, level
from models.readings import RIGHT, WRONG
from producers.simulator.ocr import Scenario, Simulation
from schemas import topics
from schemas.topics import DAY_MS
from streams.ocr import agent
from streams.runtime.frame import InputRecord, order
from streams.runtime.offline import run as run_offline

DOCUMENT = Path(__file__).parents[1] / "docs" / "ocr.md"
SEEDS = (1, 2, 3)
WEEK_MS = 7 * DAY_MS
BATCHES, FIRST_DAY, DAYS = 6, 56, 150
CORRECTED, CHECKED = 0.2, 0.015
"""Few of the wrong readings are noticed and few are checked: who has many corrections needs no batches."""
ALL = sum(QUOTAS.values())
ACTIVE, CONTROL, NONE = ARMS = ("active", "random 50", "no batches")
SAMPLED = 5_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A simulated tenant's readings by time, as the agent scored them.

    Attributes:
        readings: with the heuristic's probability and no verdict.
        times, vectors, wrong: event times (epoch milliseconds), features and the truth; (rows,), (rows, features).
        said: what people said by themselves: when, and whether the reading was wrong, by event, in order of time.
        start: epoch milliseconds of the first day.
    """

    readings: list[Candidate]
    times: NDArray[np.int64]
    vectors: Floats
    wrong: NDArray[np.bool_]
    said: list[tuple[int, int, bool]]
    start: int

    def rows(self, since: int, until: int) -> slice:
        """The readings of a time."""
        first, last = np.searchsorted(self.times, [since, until]).tolist()
        return slice(first, last)


def made(seed: int, meters: int, gates: int) -> World:
    """A tenant's world, through the agent."""
    scenario = Scenario(1, meters, gates, DAYS, seed=seed, corrected=CORRECTED, checked=CHECKED)
    given, wrong = [], set()
    offset = 0
    for day in Simulation(scenario).days():
        wrong |= {each["event_id"] for each in day.truth}
        for topic, records in ((topics.EVENTS_OCR, day.events), (topics.OUTCOMES_OCR, day.outcomes)):
            for one in records:
                given.append(
                    InputRecord(topic.key_of(one), topic.codec.encode(one), one[topic.time], offset, (), topic.name)
                )
                offset += 1
    outcome = run_offline(agent(keys=Keys(b"for readings that were made here")), sorted(given, key=order))

    def told(topic: topics.Topic) -> list[dict[str, Any]]:
        return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]

    scored = {each["event_id"]: each for each in told(topics.PREDICTIONS_OCR_TRUST)}
    kept = sorted(told(topics.OCR_READINGS), key=lambda each: (each["occurred_at"], each["event_id"]))
    names = [each.name for each in fields(Candidate) if each.name in kept[0]]
    readings = [
        Candidate(**{name: each[name] for name in names}, probability=scored[each["event_id"]]["probability"])
        for each in kept
    ]
    places = {one.event_id: place for place, one in enumerate(readings)}
    vectors = [scored[one.event_id]["features"] for one in readings]
    return World(
        readings,
        np.array([one.occurred_at for one in readings], dtype=np.int64),
        np.array([[np.nan if value is None else value for value in row] for row in vectors], dtype=np.float64),
        np.array([one.event_id in wrong for one in readings]),
        sorted(
            (each["decided_at"], places[each["event_id"]], each["verdict"] == WRONG)
            for each in told(topics.OCR_VERDICTS)
            if each["verdict"] in (RIGHT, WRONG)
        ),
        readings[0].occurred_at // DAY_MS * DAY_MS,
    )


@dataclass(slots=True)
class Arm:
    """One way to choose what people look at, in a world.

    Attributes:
        known: labels by place: what people corrected, and what they answered.
        asked, again: places that were asked for, and that were looked at a second time.
        weeks: for the share of wrong readings.
    """

    name: str
    known: dict[int, bool] = field(default_factory=dict)
    asked: set[int] = field(default_factory=set)
    again: set[int] = field(default_factory=set)
    weeks: list[Week] = field(default_factory=list)

    def scorer(self, world: World, now: int) -> Scorer | None:
        """The model of what is known at a moment; None where that is too little."""
        places = np.array(sorted(self.known), dtype=np.intp)
        places = places[(world.times[places] >= now - SPAN_MS) & (world.times[places] < now)]
        labels = [self.known[place] for place in places.tolist()]
        assert SERVED.settings is not None
        try:
            return train(Examples.of(world.times[places], world.vectors[places], labels), Plan(SERVED.settings)).scorer
        except TooFewLabels:
            return None

    def ask(self, world: World, now: int, scorer: Scorer | None) -> None:
        """A batch, answered at once and rightly."""
        if self.name == NONE:
            return
        rows = world.rows(now - WEEK_MS, now)
        said = scores(scorer, world.vectors[rows]).tolist()
        pool = [
            replace(
                world.readings[place],
                probability=probability,
                verdict=None if place not in self.known else WRONG if self.known[place] else RIGHT,
                asked=place in self.asked,
                again=place in self.again,
            )
            for place, probability in zip(range(rows.start, rows.stop), said, strict=True)
        ]
        places = {one.event_id: rows.start + number for number, one in enumerate(pool)}
        quotas = QUOTAS if self.name == ACTIVE else dict.fromkeys(QUOTAS, 0) | {RANDOM: ALL}
        picks = select(pool, f"{self.name}|{now}", quotas)
        drawn = [places[pick.reading.event_id] for pick in picks if pick.reason == RANDOM]
        judged = [self.known[place] for place in range(rows.start, rows.stop) if place in self.known]
        self.weeks.append(
            Week(len(judged), sum(judged), len(pool) - len(judged), len(drawn), int(world.wrong[drawn].sum()))
        )
        for pick in picks:
            place = places[pick.reading.event_id]
            (self.again if place in self.known else self.asked).add(place)
            self.known[place] = bool(world.wrong[place])


def scores(scorer: Scorer | None, vectors: Floats) -> Floats:
    return heuristic.probabilities(vectors) if scorer is None else scorer.score(vectors).probability


def figures(scorer: Scorer | None, vectors: Floats, wrong: NDArray[np.bool_]) -> dict[str, Any]:
    """What a model is worth on later readings."""
    said = scores(scorer, vectors)
    missed = {f"missed_{round(100 * top)}": 1.0 - (caught(wrong, said, top) or 0.0) for top in (0.05, 0.10)}
    return missed | {"pr_auc": ranking(wrong, said)["pr_auc"], "brier": brier(wrong, said), "mean": float(said.mean())}


def measured(world: World, tick: Any) -> dict[str, Any]:
    """Before and after each batch, for each arm; and the height of the probabilities in the end."""
    end = world.start + DAYS * DAY_MS
    days = [world.start + FIRST_DAY * DAY_MS + number * WEEK_MS for number in range(BATCHES)]
    later = world.rows(days[-1] + DAY_MS, end)
    vectors, wrong = world.vectors[later], world.wrong[later]
    out: dict[str, Any] = {"readings": len(wrong), "wrong": int(wrong.sum()), "arms": {}}
    for name in ARMS:
        arm, steps = Arm(name), []
        scorer = None
        for day in days:
            for decided_at, place, verdict in world.said:
                # What was answered holds: it is newer than what people say by themselves of an older reading.
                if decided_at < day and place not in arm.asked | arm.again:
                    arm.known[place] = verdict
            scorer = arm.scorer(world, day)
            before = figures(scorer, vectors, wrong) | {"labels": len(arm.known)}
            if name != NONE:
                arm.ask(world, day, scorer)
                scorer = arm.scorer(world, day)
            steps.append({"before": before, "after": figures(scorer, vectors, wrong) | {"labels": len(arm.known)}})
            tick()
        found: dict[str, Any] = {"steps": steps}
        share = prevalence(arm.weeks)
        if scorer is not None and share is not None:
            newest = world.vectors[world.rows(0, days[-1])][-SAMPLED:]
            found |= {"share": share, "leveled": figures(level(scorer, Sample(newest, share)), vectors, wrong)}
        out["arms"][name] = found
    return out


def tables(found: Sequence[Mapping[str, Any]]) -> list[Table]:
    return [_gain(found), _ranks(found), _height(found)]


def _gain(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    shown = [(name, moment) for name in (ACTIVE, CONTROL) for moment in ("before", "after")]
    for number in range(BATCHES):
        steps = {name: [one["arms"][name]["steps"][number] for one in found] for name in ARMS}
        errors = {
            (name, moment): [one[moment]["missed_5"] for one in steps[name]]
            for name, moment in (*shown, (NONE, "after"))
        }
        pairs = zip(errors[ACTIVE, "after"], errors[CONTROL, "after"], strict=True)
        less = sum(ours < theirs for ours, theirs in pairs)
        rows.append([f"{number + 1}", *(_mean(each, "{:.1%}") for each in errors.values()), f"{less} of {len(found)}"])
    columns = ["batch", *(f"{name}, {moment}" for name, moment in shown), NONE, "active below random"]
    return Table(
        "Error: share of the wrong readings of later weeks that are not among the 5 % with the highest scores; mean "
        "(least to most) of the seeds",
        columns,
        rows,
    )


def _ranks(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for name in ARMS:
        first, last = ([one["arms"][name]["steps"][number] for one in found] for number in (0, -1))
        rows.append(
            [
                name,
                _mean([one["before"]["labels"] for one in first], "{:,.0f}"),
                _mean([one["after"]["labels"] for one in last], "{:,.0f}"),
                *(
                    _mean([one[moment][figure] for one in steps], form)
                    for figure, form in (("pr_auc", "{:.3f}"), ("missed_10", "{:.1%}"))
                    for steps, moment in ((first, "before"), (last, "after"))
                ),
            ]
        )
    columns = ["asked for", "labels at first", "at last", "PR-AUC at first", "at last"]
    return Table("All six together", [*columns, "missed in the top 10 % at first", "at last"], rows)


def _height(found: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for name in (ACTIVE, CONTROL):
        arms = [one["arms"][name] for one in found]
        shares = [one["wrong"] / one["readings"] for one in found]
        for what, of in (
            ("as trained", [one["steps"][-1]["after"] for one in arms]),
            ("leveled by the random part", [one["leveled"] for one in arms if "leveled" in one]),
        ):
            if not of:
                continue
            rows.append(
                [
                    f"{name}, {what}",
                    _mean([one["mean"] for one in of], "{:.1%}"),
                    _mean([one["share"] for one in arms if "share" in one], "{:.1%}"),
                    _mean(shares, "{:.1%}"),
                    _mean([one["brier"] for one in of], "{:.4f}"),
                ]
            )
    columns = ["model", "mean probability", "wrong, by random tasks", "wrong in truth", "Brier score"]
    return Table("Height of the probabilities on later readings, after the last batch", columns, rows)


def _mean(values: Sequence[float], form: str) -> str:
    if not values:
        return ""
    mean = form.format(fmean(values))
    return mean if len(values) < 2 else f"{mean} ({form.format(min(values))} to {form.format(max(values))})"


def settings(meters: int, gates: int) -> dict[str, Any]:
    return {
        "seeds": f"{SEEDS[0]} to {SEEDS[-1]}",
        "meters": meters,
        "gates": gates,
        "days": DAYS,
        "first batch on day": FIRST_DAY,
        "noticed": CORRECTED,
        "checked": CHECKED,
        "model": SERVED.name,
        "features": len(NAMES),
    }


@click.command()
@click.option("--meters", default=150, show_default=True)
@click.option("--gates", default=3, show_default=True)
def main(meters: int, gates: int) -> None:
    """Gain of weekly labeling batches, on three simulated tenants. Takes a minute or two."""
    run(meters, gates)


def run(meters: int = 150, gates: int = 3) -> None:
    """Measure, show, and keep what the usual settings give."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("labeling", total=len(SEEDS) * len(ARMS) * BATCHES)
        found = [measured(made(seed, meters, gates), lambda: progress.advance(task)) for seed in SEEDS]
    made_of = tables(found)
    show(made_of)
    if usual():
        keep("ocr", settings(meters, gates), {"seeds": found}, made_of, DOCUMENT)


if __name__ == "__main__":
    main()
