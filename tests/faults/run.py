"""Running a scenario from an empty prefix to its judgement."""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import streams.topology
import tests.faults.topology
from models.ocr.redaction import Keys
from producers.control import ask, command
from sinks.tables import ROUTES, TABLES
from streams.runtime.agent import Agent
from streams.sealing import Sealer
from streams.serving import NO_MODELS
from tests.faults import logs, relay
from tests.faults.bad_input import KINDS, LUCKY
from tests.faults.cluster import Cluster
from tests.faults.compare import Verdict
from tests.faults.domains import DOMAINS, Mixed, Source
from tests.faults.load import Load
from tests.faults.oracle import Oracle
from tests.faults.recovery import Recovery, Watch, Watches, born, recoveries
from tests.faults.scenarios import Scenario
from tests.faults.stage import Stage
from tests.faults.tables import judge
from tests.faults.traffic import Traffic

OBEYED_S = 2.0
"""Within this, workers obey a change of a setting."""
FENCED = "fenced, waiting for the group's word"
REFERENCE_QUIET_S = 60.0
"""Other systems lose and double records: their end is silence, after a recovery that was waited for before."""


@dataclass(slots=True)
class Result:
    """What a scenario showed."""

    name: str
    title: str
    seed: int
    reference: bool = False
    seconds: float = 0.0
    events: int = 0
    frames: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    recovery: list[Recovery] = field(default_factory=list)
    moments: list[tuple[float, str, str, float | None]] = field(default_factory=list)
    """Of every fault: seconds since the first, what was done, to whom, seconds until recovery."""
    dead_letters: dict[str, int] = field(default_factory=dict)
    refused: dict[str, dict[str, int]] = field(default_factory=dict)
    fenced: int = 0
    """Producers that woke up, or came back, and were refused."""
    ticks: int = 0
    """Frames in which time alone passed."""
    settings: int = 0
    """Changes of settings that agents have obeyed, partition by partition."""
    remarks: list[str] = field(default_factory=list)

    def total(self, what: str) -> int:
        return sum(int(getattr(verdict, what)) for verdict in self.verdicts)

    @property
    def exact(self) -> bool:
        return bool(self.verdicts) and not self.remarks and all(verdict.exact for verdict in self.verdicts)

    def figures(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "exact": self.exact,
            "lost": self.total("lost"),
            "doubled": self.total("doubled"),
            "different": self.total("different"),
            "verdicts": [verdict.figures() for verdict in self.verdicts],
        }


def agents_of(scenario: Scenario, cluster: Cluster, seed: int) -> Sequence[Agent]:
    match scenario.agents:
        case "product":
            loaded = [DOMAINS[name].models(cluster, seed) for name in scenario.domains]
            models = next((one for one in loaded if one is not NO_MODELS), NO_MODELS)
            secret = cluster.secret.encode()
            return streams.topology.agents(models, Keys(secret), Sealer([secret]))
        case "relay":
            return relay.AGENTS
        case _:
            return tests.faults.topology.AGENTS


def run_scenario(cluster: Cluster, scenario: Scenario, seed: int) -> Result:
    """Run it and judge it. What goes wrong in the system is in the result; what goes wrong in the run is raised."""
    result = Result(scenario.name, scenario.title, seed, scenario.reference)
    started = time.monotonic()
    agents = agents_of(scenario, cluster, seed)
    cluster.prepare(f"{scenario.name}-{uuid4().hex[:6]}-", scenario.partitions, agents)
    if scenario.sinks:
        cluster.migrate()
    oracle = Oracle(cluster.servers, cluster.prefix, scenario.partitions, agents, scenario.bug)
    stage = set_up(cluster, scenario, seed, agents)
    try:
        stage.wait_flowing()
        stage.rest(scenario.settle, scenario.settle)
        scenario.script(stage)
        stage.load.stop()
        if scenario.reference:
            stage.wait_quiet(REFERENCE_QUIET_S)
        else:
            settle(cluster, scenario, oracle, stage)
        result.remarks += scenario.check(stage, oracle) if scenario.check else []
    finally:
        stage.load.stopping.set()
        stage.watch.stop()
        result.fenced = sum(process.said(FENCED) for process in cluster.processes.values())
        for name in cluster.stop_processes():
            stage.remarks.append(f"{name} did not stop within 15 s")
    agreement = oracle.judge(states=scenario.agents in ("product", "counter", "relay"))
    result.verdicts = agreement.verdicts
    if scenario.sinks:
        result.verdicts += [
            judge(
                cluster.servers,
                cluster.prefix,
                cluster.tables,
                table,
                [route.topic for route in ROUTES if table in route.tables],
            )
            for table in TABLES
        ]
    result.seconds = time.monotonic() - started
    result.events, result.frames = agreement.events, agreement.frames
    result.ticks, result.settings = agreement.ticks, agreement.settings
    result.faults = dict(Counter(fault.kind for fault in stage.faults))
    result.recovery = recoveries(stage.watch, stage.faults)
    result.moments = [
        (round(one.at - stage.faults[0].at, 1), one.kind, one.target, stage.watch.recovery(one)) for one in stage.faults
    ]
    result.dead_letters = dict(agreement.dead_letters.most_common())
    for (intent, reason), count in sorted(agreement.refused.items()):
        result.refused.setdefault(intent, {})[reason or "taken"] = count
    result.remarks += stage.remarks + (taken(result) if scenario.agents == "product" else [])
    cluster.remove()
    return result


def set_up(cluster: Cluster, scenario: Scenario, seed: int, agents: Sequence[Agent]) -> Stage:
    """Workers and sinks started, outputs watched, load flowing."""
    load, watch = traffic(cluster, scenario, seed)
    stage = Stage(cluster, random.Random(seed), load, watch, scenario.agents, scenario.dynamic)
    for number in range(scenario.workers):
        stage.start_worker(f"worker-{number}")
    for number in range(scenario.sinks):
        stage.start_sink(f"sink-{number}")
    if scenario.agents == "product":
        never_pause(cluster)
        for name in scenario.domains:
            DOMAINS[name].enter(cluster, seed)
    watch.start()
    load.start()
    return stage


def traffic(cluster: Cluster, scenario: Scenario, seed: int) -> tuple[Load, Watches]:
    """What flows, and where it must come out."""
    partitions = scenario.partitions
    source: Source
    if scenario.agents == "relay":
        source = Traffic(seed, partitions)
        watched = [(relay.RESULTS, partitions)]
    else:
        domains = [DOMAINS[name] for name in scenario.domains]
        sources = [domain.source(seed, partitions, scenario.odd) for domain in domains]
        source = sources[0] if len(sources) == 1 else Mixed(sources)
        watched = [(domain.output, partitions if domain.repartitioned else 1) for domain in domains]
    load = Load(cluster.servers, cluster.prefix, scenario.rate, source, scenario.bad, scenario.bad_seconds)
    watches = [Watch(cluster.servers, cluster.prefix + topic.name, partitions, born, ways) for topic, ways in watched]
    return load, Watches(tuple(watches))


def never_pause(cluster: Cluster) -> None:
    """Let dead letters pause no partition: they are a part of the load."""
    for name, value in (("dead_letter_limit", "1000000000"), ("dead_letter_share", "1")):
        about = {
            "action": "set",
            "tenant": "*",
            "expected_version": 0,
            "by": "faults",
            "reason": "bad input",
        }
        answer = ask(cluster.servers, command(name=name, value=value, **about), prefix=cluster.prefix, limit_s=60)
        assert answer["outcome"] == "accepted", answer
    time.sleep(OBEYED_S)


def settle(cluster: Cluster, scenario: Scenario, oracle: Oracle, stage: Stage) -> None:
    """Wait until agents and tables have followed; who never follows is judged as he stands."""
    for agent in oracle.agents:
        await_end(stage, f"records before agent {agent.name}", partial(oracle.behind, agent))
        if scenario.agents == "relay":
            # The last ones fire as time passes; what they say goes on to the next agent.
            await_end(stage, f"timers of agent {agent.name}", partial(oracle.waiting, agent))
    if scenario.sinks:
        for route in ROUTES:
            topic = cluster.prefix + route.topic.name
            await_end(stage, f"records of {topic} before the sink", partial(unstored, cluster, topic))


def unstored(cluster: Cluster, topic: str) -> int:
    """Records of a topic that the sink has not noted as stored."""
    stored = cluster.tables.stored(topic)
    ends = enumerate(logs.end_offsets(cluster.servers, topic))
    return sum(max(0, end - stored.get(number, 0)) for number, end in ends)


def taken(result: Result) -> list[str]:
    """Bad records that were processed as if they were good."""
    return [
        f"{result.refused[kind]['taken']} records of kind {kind} were taken as good"
        for kind in sorted(set(KINDS) - LUCKY)
        if "taken" in result.refused.get(kind, {})
    ]


def await_end(stage: Stage, what: str, left: Callable[[], int], stalled: float = 300.0) -> None:
    """Wait until nothing is left; whoever makes no progress for that many seconds is complained of."""
    least, moved = left(), time.monotonic()
    while least:
        if time.monotonic() - moved > stalled:
            stage.remarks.append(f"{least} {what} left after {stalled:g} s without progress")
            return
        time.sleep(0.5)
        now = left()
        if now < least:
            least, moved = now, time.monotonic()
