"""What a sync and an OCR reading cost in the agents: processor time of their own functions, without Kafka."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any, NamedTuple

import click
import numpy as np

from benchmarks.fraud_world import obeyed
from benchmarks.report import Table, finish, say, usual
from models.classifiers import Examples
from models.conflict import training as conflict_training
from models.conflict.artifact import ConflictModel
from models.conflict.evaluation import NO, YES
from models.conflict.features import LARGEST
from models.control import DEFAULTS
from models.ocr import training as ocr_training
from models.ocr.redaction import Keys
from models.registry import Place
from models.registry.activation import Post, value_of
from producers import control as commands
from producers.simulator import ocr as readings
from producers.simulator import sync as syncs
from schemas import topics
from schemas.topics import Topic
from streams import ocr, sync
from streams.ocr_outcomes import OCR_OUTCOMES
from streams.runtime import Agent
from streams.runtime.control import Control
from streams.runtime.frame import InputRecord
from streams.runtime.offline import Outcome, merge, run
from streams.serving import NO_MODELS, Models
from streams.sync_outcomes import SYNC_OUTCOMES
from streams.sync_users import SYNC_USERS

SYNCS = syncs.Scenario(1, 80, 28, date(2026, 2, 2), 7)
READINGS = readings.Scenario(1, 200, 3, 40, date(2026, 2, 2), 7)
KEYS = Keys(b"fingerprints of a benchmark's plates")
FRAME = 4000
VERSION = "v20260101_000000"
RULE, MODEL = "rule", "model"

Record = dict[str, Any]
Rows = list[InputRecord]


class Cost(NamedTuple):
    """Processor time of an agent for some records, in seconds."""

    agent: str
    records: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """What the agents of a domain took for the second half of the time, and what they said of all of it."""

    events: int
    costs: list[Cost]
    predictions: list[Record]
    labels: list[Record]


@dataclass(frozen=True, slots=True)
class Chain:
    """A domain: what it reads, by topic, its agents, and how a model of it is trained."""

    name: str
    model: str
    tenant: str
    inputs: dict[Topic, list[Record]]
    agents: Callable[["Chain", Models, Control], Run]
    learn: Callable[[list[int], list[list[float]], list[bool]], Any]


class One:
    """One loaded model for every place."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def get(self, place: Place, version: str) -> Any:
        return self.model


def measured(agent: Agent, rows: Sequence[InputRecord], control: Control) -> tuple[Outcome, Cost]:
    """Run an agent over records; the second half, with the state of the first, is what counts."""
    half = len(rows) // 2
    past = run(agent, rows[:half], control=control, cuts=lambda: FRAME)
    began = time.process_time()
    outcome = run(agent, rows[half:], control=control, cuts=lambda: FRAME, start=past)
    return outcome, Cost(agent.name, len(rows) - half, time.process_time() - began)


def log(topic: Topic, records: Iterable[Record], field: str | None = None) -> Rows:
    """Records as agents read them, published at their own time."""
    return [
        InputRecord(topic.key_of(each), topic.codec.encode(each), each[field or topic.time], number, (), topic.name)
        for number, each in enumerate(records)
    ]


def said(outcome: Outcome, topic: Topic) -> list[Record]:
    return [topic.codec.decode(value or b"") for _, value in outcome.topic(topic.name)]


def together(*logs: Rows) -> Rows:
    return list(merge({rows[0].topic: rows for rows in logs}))


def of_syncs(chain: Chain, models: Models, control: Control) -> Run:
    events, outcomes = (log(topic, records) for topic, records in chain.inputs.items())
    users, first = measured(SYNC_USERS, together(events, outcomes), control)
    entities = log(topics.SYNC_BY_ENTITY, said(users, topics.SYNC_BY_ENTITY), "published_at")
    scored, second = measured(sync.agent(models), entities, control)
    predictions = said(scored, topics.PREDICTIONS_CONFLICT)
    joined, third = measured(SYNC_OUTCOMES, together(log(topics.PREDICTIONS_CONFLICT, predictions), outcomes), control)
    labels = said(joined, topics.LABELLED_CONFLICT)
    return Run(len(events), [first, second, third], predictions, labels)


def of_readings(chain: Chain, models: Models, control: Control) -> Run:
    events, outcomes = (log(topic, records) for topic, records in chain.inputs.items())
    scored, first = measured(ocr.agent(models, KEYS), together(events, outcomes), control)
    predictions = said(scored, topics.PREDICTIONS_OCR_TRUST)
    verdicts = log(topics.OCR_VERDICTS, said(scored, topics.OCR_VERDICTS))
    answers = together(log(topics.PREDICTIONS_OCR_TRUST, predictions), verdicts)
    joined, second = measured(OCR_OUTCOMES, answers, control)
    return Run(len(events), [first, second], predictions, said(joined, topics.LABELLED_OCR_TRUST))


def conflict_model(times: list[int], features: list[list[float]], labels: list[bool]) -> ConflictModel:
    codes = np.where(np.array(labels), YES, NO).astype(np.int8)
    rows = np.array(times), np.array(features, dtype=np.float64), codes, np.ones(len(times))
    return ConflictModel(conflict_training.learn(*rows, LARGEST, "logistic").scorer, LARGEST)


def ocr_model(times: list[int], features: list[list[float]], labels: list[bool]) -> Any:
    return ocr_training.learn(Examples.of(times, features, labels), "xgboost").scorer


def chains() -> list[Chain]:
    """Both domains with what is made for them."""
    edits, images = list(syncs.Simulation(SYNCS).days()), list(readings.Simulation(READINGS).days())
    return [
        Chain(
            name,
            model,
            days[0].events[0]["tenant_id"],
            {
                events: [each for day in days for each in day.events],
                outcomes: [each for day in days for each in day.outcomes],
            },
            agents,
            learn,
        )
        for name, model, days, events, outcomes, agents, learn in (
            ("sync", "conflict", edits, topics.EVENTS_SYNC, topics.OUTCOMES_SYNC, of_syncs, conflict_model),
            ("OCR reading", "ocr_trust", images, topics.EVENTS_OCR, topics.OUTCOMES_OCR, of_readings, ocr_model),
        )
    ]


def learned(chain: Chain, found: Run) -> Models:
    """A model of what the rule's run has logged and what came of it."""
    labels = {each["event_id"]: each["label"] for each in found.labels if each["label"] is not None}
    cases = sorted(
        (each for each in found.predictions if each["event_id"] in labels), key=lambda each: each["event_time"]
    )
    times = [each["event_time"] for each in cases]
    features = [[np.nan if value is None else value for value in each["features"]] for each in cases]
    return One(chain.learn(times, features, [labels[each["event_id"]] for each in cases]))


def active(chain: Chain) -> Control:
    """Control after a model of the tenant was activated, before all of its events."""
    setting, value = Post(chain.model).setting, value_of(Place(chain.model, chain.tenant), VERSION)
    asked = commands.command(
        action="set",
        tenant=chain.tenant,
        name=setting,
        value=f'"{value}"',
        expected_version=0,
        by="benchmark",
        reason="benchmark",
    )
    return obeyed(
        [asked | {"requested_at": min(each["occurred_at"] for each in next(iter(chain.inputs.values()))) - 1}]
    )


def rounds_of(chain: Chain, rounds: int) -> list[dict[str, Any]]:
    """Every measurement: by the rule, then with a model, in turns."""
    found: list[dict[str, Any]] = []
    models: Models = NO_MODELS
    for number in range(rounds):
        for serves in (RULE, MODEL):
            control = active(chain) if serves == MODEL else Control(DEFAULTS)
            got = chain.agents(chain, models if serves == MODEL else NO_MODELS, control)
            versions = {each["model_version"] for each in got.predictions}
            if (versions == {VERSION}) != (serves == MODEL):
                raise click.ClickException(f"{chain.name}: {serves} was to serve, and {sorted(versions)} did")
            if serves == RULE and number == 0:
                models = learned(chain, got)
            seconds = sum(cost.seconds for cost in got.costs)
            found.append(
                {
                    "domain": chain.name,
                    "serves": serves,
                    "events": got.events,
                    "us": seconds / (got.events / 2) * 1e6,
                    "agents": {cost.agent: cost.seconds / cost.records * 1e6 for cost in got.costs},
                }
            )
            say(f"{chain.name}, {serves}: {found[-1]['us']:.0f} us")
    return found


def medians_of(rounds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each domain: microseconds of each agent and of an event in all of them, by what serves."""
    out = []
    for domain in dict.fromkeys(each["domain"] for each in rounds):
        mine = [each for each in rounds if each["domain"] == domain]
        agents = {
            name: {
                serves: median(each["agents"][name] for each in mine if each["serves"] == serves)
                for serves in (RULE, MODEL)
            }
            for name in mine[0]["agents"]
        }
        whole = {serves: median(each["us"] for each in mine if each["serves"] == serves) for serves in (RULE, MODEL)}
        out.append({"domain": domain, "events": mine[0]["events"], "agents": agents, "event": whole})
    return out


def table(medians: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for each in medians:
        rows += [
            [f"{name}, a record", f"{of[RULE]:.0f}", f"{of[MODEL]:.0f}", ""] for name, of in each["agents"].items()
        ]
        whole = each["event"]
        rows.append(
            [
                f"**a {each['domain']} with what comes of it, in all of them**",
                f"{whole[RULE]:.0f}",
                f"{whole[MODEL]:.0f}",
                f"{1e6 / whole[MODEL]:,.0f}",
            ]
        )
    columns = ("agent", "by the rule, us", "with a model, us", "a second of a core")
    return Table("Processor time in the agents of sync and OCR", columns, rows)


@click.command()
@click.option("--rounds", default=2, show_default=True, help="How often each runs, in turns.")
@click.option("--write/--no-write", default=None, help="Keep the results; by default only with the usual settings.")
def command(rounds: int, write: bool | None) -> None:
    """What a sync and an OCR reading cost in the agents."""
    say("making syncs and readings")
    found = [each for chain in chains() for each in rounds_of(chain, rounds)]
    medians = medians_of(found)
    finish(
        "domains",
        settings={"rounds": rounds, "frame": FRAME} | {f"{each['domain']}s": each["events"] for each in medians},
        rounds=found,
        medians={each["domain"]: each for each in medians},
        tables=[table(medians)],
        write=usual() if write is None else write,
    )
