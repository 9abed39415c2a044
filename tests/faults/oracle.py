"""The yardstick: what the offline driver computes from the input logs is what must stand in the outputs."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import attrgetter
from typing import Any

from schemas import topics
from schemas.topics import Topic
from streams.runtime import Agent, Frame
from streams.runtime.control import Control
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.offline import Outcome, run
from tests.faults import logs
from tests.faults.compare import Pair, Verdict, compare
from tests.faults.load import INTENT
from tests.faults.logs import Logged
from tests.faults.topology import PLANTED


@dataclass(slots=True)
class Agreement:
    """What the logs say about one set of agents that ran together under one prefix."""

    verdicts: list[Verdict] = field(default_factory=list)
    events: int = 0
    frames: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    """By error class."""
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By what the generator meant and the error class that it got; "" where it was taken as good."""

    @property
    def exact(self) -> bool:
        return all(verdict.exact for verdict in self.verdicts)

    def verdict(self, what: str) -> Verdict:
        return next(verdict for verdict in self.verdicts if verdict.what == what)


@dataclass(slots=True)
class Oracle:
    """Reads a cluster's topics under a prefix and judges them.

    What was read or computed once is kept: the next question reads, and runs, only what came since.
    """

    servers: str
    prefix: str
    partitions: int
    agents: Sequence[Agent]
    bug: str | None = None
    """Error class of a planted bug: the records that it sent to the dead letters are taken as hit by it."""
    known: dict[str, list[list[Logged]]] = field(default_factory=dict)
    runs: dict[tuple[str, int, frozenset[int]], Outcome] = field(default_factory=dict)

    def physical(self, name: str) -> str:
        return self.prefix + name

    def partitions_of(self, name: str) -> int:
        """Partitions of a topic or a changelog: its own number where the catalogue sets one."""
        inputs = {agent.changelog: agent.input.name for agent in self.agents}
        topic = topics.CATALOGUE.get(inputs.get(name, name))
        return (topic and topic.partitions) or self.partitions

    def log(self, name: str) -> list[list[Logged]]:
        """Every record of a topic by now, partition by partition."""
        known = self.known.setdefault(name, [[] for _ in range(self.partitions_of(name))])
        begin = [records[-1].offset + 1 if records else 0 for records in known]
        for records, more in zip(known, logs.read(self.servers, self.physical(name), begin=begin), strict=True):
            records += more
        return known

    def run(self, agent: Agent, partition: int) -> Outcome:
        """What the offline driver makes of the input as it was read last."""
        hit = self._hit(partition)
        named = (agent.input, *agent.outputs, topics.DEAD_LETTERS)
        counts = {topic.name: self.partitions_of(topic.name) for topic in named}
        go_on = partial(
            run,
            with_bug(agent, hit),
            partition=partition,
            counts=counts,
            prefix=self.prefix,
            control=self.control(agent),
        )
        records = self.known[agent.input.name][partition]
        if agent.timers:
            outcome = Outcome()
            for offset, clock in ticks(self.log(agent.changelog)[partition], agent.input.name):
                until = bisect_left(records, offset, key=attrgetter("offset"))
                go_on(records[outcome.records : until], start=outcome, tick=clock)
            return go_on(records[outcome.records :], start=outcome)
        before = self.runs.get((agent.name, partition, hit))
        outcome = go_on(records[before.records if before else 0 :], start=before)
        self.runs[agent.name, partition, hit] = outcome
        return outcome

    def control(self, agent: Agent) -> Control:
        """What the agent obeyed: settings change before the load begins, and not again."""
        if not agent.settings:
            return Control({})
        rows = [(topic, one.key or b"", one.value) for topic in topics.CONTROL for one in self.log(topic.name)[0]]
        return Control(agent.settings).after(rows)

    def outputs(self) -> list[Topic]:
        """Every topic that the agents write, each once."""
        named = {topic.name: topic for agent in self.agents for topic in agent.outputs}
        return [*named.values(), topics.DEAD_LETTERS]

    def judge(self, states: bool = True) -> Agreement:
        """Compare every output topic and, with `states`, every state and MARK with the offline driver's."""
        agreement = Agreement()
        due: dict[str, list[list[list[Pair]]]] = defaultdict(list)
        for agent in self.agents:
            changelog = self.log(agent.changelog) if states else None
            for partition, records in enumerate(self.log(agent.input.name)):
                outcome = self.run(agent, partition)
                for topic in self.outputs():
                    due[topic.name].append(
                        [
                            outcome.outputs.get((topic.name, number), [])
                            for number in range(self.partitions_of(topic.name))
                        ]
                    )
                if changelog is not None:
                    what = f"state of {agent.name}-{partition}"
                    verdict = judge_changelog(what, records, outcome, changelog[partition], agent)
                    agreement.verdicts.append(verdict)
                    agreement.frames += verdict.found
        agreement.events = sum(map(len, self.known[self.agents[0].input.name]))
        for topic in self.outputs():
            pairs: list[list[Pair]] = [[(one.key, one.value) for one in records] for records in self.log(topic.name)]
            agreement.verdicts.append(compare(topic.name, due[topic.name], pairs, identity_of(topic)))
        self._refusals(agreement)
        return agreement

    def behind(self, agent: Agent) -> int:
        """Records of the agent's input that its MARKs do not cover yet."""
        marked = [
            next((_position(one, agent.input.name) for one in reversed(records) if one.key == MARK_KEY), 0)
            for records in self.log(agent.changelog)
        ]
        return sum(
            one.offset >= marked[number] for number, records in enumerate(self.log(agent.input.name)) for one in records
        )

    def _hit(self, partition: int) -> frozenset[int]:
        """Offsets of the input records that the planted bug sent to the dead letters."""
        if self.bug is None:
            return frozenset()
        return frozenset(
            letter["source_offset"]
            for letter in self._dead_letters()
            if letter["error_class"] == self.bug and letter["source_partition"] == partition
        )

    def _refusals(self, agreement: Agreement) -> None:
        """Which record with which intent was refused for which reason."""
        reasons: dict[tuple[int, int], str] = {}
        source = self.physical(self.agents[0].input.name)
        for letter in self._dead_letters():
            agreement.dead_letters[letter["error_class"]] += 1
            if letter["source_topic"] == source:
                reasons[letter["source_partition"], letter["source_offset"]] = letter["error_class"]
        for records in self.log(self.agents[0].input.name):
            for one in records:
                intent = dict(one.headers).get(INTENT) or b""
                agreement.refused[intent.decode(), reasons.get((one.partition, one.offset), "")] += 1

    def _dead_letters(self) -> Iterator[dict[str, Any]]:
        for records in self.log(topics.DEAD_LETTERS.name):
            for one in records:
                yield topics.DEAD_LETTERS.codec.decode(one.value or b"")


def ticks(changelog: Iterable[Logged], topic: str) -> Iterator[tuple[int, int]]:
    """What the MARKs say of time that passed without records: next offset of the input, and the clock."""
    position, clock = 0, -1
    for one in changelog:
        if one.key == MARK_KEY:
            mark = Mark.decode(one.value or b"")
            offset = mark.offsets[topic]
            if offset == position and mark.clock > clock >= 0:
                yield position, mark.clock
            position, clock = offset, mark.clock


def with_bug(agent: Agent, hit: frozenset[int]) -> Agent:
    """The agent as it ran while the bug was in it: it raises over these records, and over no others."""
    if not hit:
        return agent

    def process(frame: Frame) -> None:
        if any(record.offset in hit for record in frame.records):
            raise KeyError(PLANTED)
        agent.process(frame)

    return replace(agent, process=process)


def identity_of(topic: Topic) -> Any:
    """What makes two records of a topic the same fact."""

    def identity(pair: Pair) -> object:
        record = topic.codec.decode(pair[1] or b"")
        if topic.name == topics.DEAD_LETTERS.name:
            return record["agent"], record["source_partition"], record["source_offset"]
        if topic.name == topics.ALERTS.name:
            return record["alert_id"], record["seq"]
        if topic.name == topics.INCIDENTS.name:
            return record["incident_id"], record["seq"]
        if topic.name == topics.LABELLED_ANOMALY.name:
            return record["alert_id"], record["label_version"]
        return record[topic.id or "event_id"]

    return identity


def _position(one: Logged, topic: str) -> int:
    return Mark.decode(one.value or b"").offsets[topic]


def judge_changelog(
    what: str, source: Sequence[Logged], outcome: Outcome, records: Sequence[Logged], agent: Agent
) -> Verdict:
    """The MARKs are the frame log: they only grow and end at the input's end; the rest folds to the state.

    Ticks of an agent with timers move the clock alone.
    """
    state: dict[bytes, bytes] = {}
    position, clock, marks = -1, -1, 0
    verdict = Verdict(what)
    for one in records:
        key = one.key or b""
        if key == MARK_KEY:
            mark = Mark.decode(one.value or b"")
            offset = mark.offsets[agent.input.name]
            ticked = agent.timers and mark.clock > clock and offset == position
            verdict.out_of_order += offset <= position and not ticked
            position, clock, marks = offset, mark.clock, marks + 1
        elif one.value is None:
            state.pop(key, None)
        else:
            state[key] = one.value
    verdict.expected = verdict.found = marks
    verdict.lost = len(outcome.state.keys() - state.keys())
    verdict.doubled = len(state.keys() - outcome.state.keys())
    verdict.different = sum(state[key] != raw for key, raw in outcome.state.items() if key in state)
    if source and position <= source[-1].offset:
        verdict.remarks.append(f"the last MARK is at {position}, the input ends at {source[-1].offset}")
    if clock != outcome.clock:
        verdict.remarks.append(f"the clock ends at {clock}, offline at {outcome.clock}")
    return verdict
