"""The yardstick: what the offline driver computes from the input logs is what must stand in the outputs."""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, NamedTuple

from schemas import topics
from schemas.topics import Topic
from streams.runtime import Agent, Frame
from streams.runtime.control import Control, Row
from streams.runtime.frame import InputRecord
from streams.runtime.mark import MARK_KEY, Mark
from streams.runtime.offline import Outcome, merge, run
from streams.runtime.timers import PART as TIMER
from tests.faults import logs
from tests.faults.compare import Pair, Verdict, compare
from tests.faults.load import INTENT
from tests.faults.logs import Logged
from tests.faults.topology import PLANTED

FRAMES = 2000
"""Records per frame of the offline driver, whatever the worker's frames were."""
AHEAD_MS = 1_500
"""A partition's clock may be so far before the broker's: milliseconds of two processes' reading are not the same."""

Place = tuple[str, str, int, int]
"""Agent, topic, partition and offset of a dead letter's source."""


class Segment(NamedTuple):
    """Frames that followed each other under the same control, and the time that passed after them alone."""

    records: list[InputRecord]
    control: int
    tick: int | None


@dataclass(slots=True)
class Agreement:
    """What the logs say about one set of agents that ran together under one prefix."""

    verdicts: list[Verdict] = field(default_factory=list)
    events: int = 0
    frames: int = 0
    ticks: int = 0
    """Frames in which time alone passed."""
    settings: int = 0
    """Versions of settings under which the agents worked, one after the other."""
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

    Outputs depend on the order in which the inputs' records were merged, on the settings that were in force and on
    the time that passed without records. All of this is in the MARKs, and nothing else is taken from them: the offline
    driver cuts its own frames. What was read once is kept: the next question reads only what came since.
    """

    servers: str
    prefix: str
    partitions: int
    agents: Sequence[Agent]
    bug: str | None = None
    """Error class of a planted bug: the records that it sent to the dead letters are taken as hit by it."""
    known: dict[str, list[list[Logged]]] = field(default_factory=dict)
    settings: list[Row] | None = None

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

    def run(self, agent: Agent, partition: int, segments: Iterable[Segment]) -> Outcome:
        """What the offline driver makes of the inputs in the order in which they were taken."""
        named = (*agent.inputs, *agent.outputs, topics.DEAD_LETTERS)
        counts = {topic.name: self.partitions_of(topic.name) for topic in named}
        control = self.control(agent)
        outcome = Outcome()
        for records, offset, tick in segments:
            outcome = run(
                agent,
                records,
                partition=partition,
                counts=counts,
                cuts=lambda: FRAMES,
                start=outcome,
                prefix=self.prefix,
                tick=tick,
                control=control.upto(offset),
            )
        return outcome

    def control(self, agent: Agent) -> Control:
        """Every version of every setting that the agent may have seen; asked when nobody changes any more."""
        if not agent.settings:
            return Control({})
        if self.settings is None:
            self.settings = [
                (topic, one.key or b"", one.value)
                for topic in topics.CONTROL
                for records in self.log(topic.name)
                for one in records
            ]
        return Control(agent.settings).after(self.settings)

    def outputs(self) -> list[Topic]:
        """Every topic that the agents write, each once."""
        named = {topic.name: topic for agent in self.agents for topic in agent.outputs}
        return [*named.values(), topics.DEAD_LETTERS]

    def inbound(self) -> list[Topic]:
        """The inputs that none of the agents writes."""
        named = {topic.name: topic for agent in self.agents for topic in agent.inputs if topic.inbound}
        return list(named.values())

    def judge(self, states: bool = True) -> Agreement:
        """Compare every output topic and, with `states`, every state and MARK with the offline driver's.

        Without `states` the agents ran without MARKs, on one input.
        """
        agreement, self.settings = Agreement(), None
        due: dict[str, list[list[list[Pair]]]] = defaultdict(list)
        hit = self._hit()
        for agent in self.agents:
            changelog = self.log(agent.changelog) if states else None
            for partition, parts in enumerate(self.segments(agent, states)):
                outcome = self.run(with_bug(agent, hit), partition, parts)
                for topic in self.outputs():
                    due[topic.name].append(
                        [
                            outcome.outputs.get((topic.name, number), [])
                            for number in range(self.partitions_of(topic.name))
                        ]
                    )
                if changelog is not None:
                    what = f"state of {agent.name}-{partition}"
                    sources = self._sources(agent, partition)
                    verdict = judge_changelog(what, sources, outcome, changelog[partition])
                    agreement.verdicts.append(verdict)
                    agreement.frames += verdict.found
                    agreement.ticks += sum(part.tick is not None for part in parts)
                    agreement.settings += max(0, len({part.control for part in parts}) - 1)
        agreement.events = sum(len(records) for topic in self.inbound() for records in self.known[topic.name])
        for topic in self.outputs():
            # A topic may be an input, too: what the load put there says so.
            pairs: list[list[Pair]] = [
                [(one.key, one.value) for one in records if INTENT not in dict(one.headers)]
                for records in self.log(topic.name)
            ]
            agreement.verdicts.append(compare(topic.name, due[topic.name], pairs, identity_of(topic)))
        self._refusals(agreement)
        return agreement

    def segments(self, agent: Agent, states: bool = True) -> Iterator[list[Segment]]:
        """Partition by partition, what the agent took in which order; without `states` as one input's log has it."""
        for topic in agent.inputs:
            self.log(topic.name)
        changelog = self.log(agent.changelog) if states else []
        for partition in range(self.partitions_of(agent.input.name)):
            sources = self._sources(agent, partition)
            if states:
                yield list(segments(changelog[partition], sources))
            else:
                yield [Segment(list(merge(sources)), -1, None)]

    def _sources(self, agent: Agent, partition: int) -> dict[str, list[Logged]]:
        """The agent's inputs as they were read last."""
        return {topic.name: self.known[topic.name][partition] for topic in agent.inputs}

    def behind(self, agent: Agent) -> int:
        """Records of the agent's inputs that its MARKs do not cover yet."""
        marked = [
            next((Mark.decode(one.value or b"").offsets for one in reversed(records) if one.key == MARK_KEY), {})
            for records in self.log(agent.changelog)
        ]
        return sum(
            len(records) - bisect_left(records, marked[number].get(topic.name, 0), key=_offset)
            for topic in agent.inputs
            for number, records in enumerate(self.log(topic.name))
        )

    def waiting(self, agent: Agent) -> int:
        """Timers of the agent that have not fired yet."""
        armed: set[bytes] = set()
        for records in self.log(agent.changelog):
            for one in records:
                if one.key and TIMER in one.key:
                    (armed.discard if one.value is None else armed.add)(one.key)
        return len(armed)

    def _hit(self) -> frozenset[Place]:
        """What the planted bug sent to the dead letters."""
        if self.bug is None:
            return frozenset()
        return frozenset(self._place(letter) for letter in self._dead_letters() if letter["error_class"] == self.bug)

    def _place(self, letter: dict[str, Any]) -> Place:
        topic = letter["source_topic"].removeprefix(self.prefix)
        return letter["agent"], topic, letter["source_partition"], letter["source_offset"]

    def _refusals(self, agreement: Agreement) -> None:
        """Which record with which intent was refused for which reason."""
        reasons: dict[tuple[str, int, int], str] = {}
        for letter in self._dead_letters():
            agreement.dead_letters[letter["error_class"]] += 1
            reasons[self._place(letter)[1:]] = letter["error_class"]
        for topic in self.inbound():
            for records in self.log(topic.name):
                for one in records:
                    intent = dict(one.headers).get(INTENT) or b""
                    reason = reasons.get((topic.name, one.partition, one.offset), "")
                    agreement.refused[intent.decode(), reason] += 1

    def _dead_letters(self) -> Iterator[dict[str, Any]]:
        for records in self.log(topics.DEAD_LETTERS.name):
            for one in records:
                yield topics.DEAD_LETTERS.codec.decode(one.value or b"")


_offset = attrgetter("offset")


def segments(changelog: Iterable[Logged], sources: dict[str, list[Logged]]) -> Iterator[Segment]:
    """What the MARKs say of a partition: which records were taken in which order, under which control, and when time
    passed without any.
    """
    position = dict.fromkeys(sources, 0)
    clock, control = -1, -1
    taken: list[InputRecord] = []
    for one in changelog:
        if one.key != MARK_KEY:
            continue
        mark = Mark.decode(one.value or b"")
        ticked = mark.offsets == position and mark.clock > clock >= 0
        if mark.control != control and taken:
            yield Segment(taken, control, None)
            taken = []
        control = mark.control
        if ticked:
            yield Segment(taken, control, mark.clock)
            taken = []
        else:
            taken += merge({name: _between(sources[name], position[name], mark.offsets[name]) for name in sources})
        position, clock = mark.offsets, mark.clock
    if taken:
        yield Segment(taken, control, None)


def _between(records: Sequence[Logged], begin: int, end: int) -> Sequence[Logged]:
    return records[bisect_left(records, begin, key=_offset) : bisect_left(records, end, key=_offset)]


def with_bug(agent: Agent, hit: frozenset[Place]) -> Agent:
    """The agent as it ran while the bug was in it: it raises over these records, and over no others."""
    if not hit:
        return agent

    def process(frame: Frame) -> None:
        for record in frame.records:
            if (agent.name, getattr(record, "topic", ""), frame.partition, record.offset) in hit:
                raise KeyError(PLANTED)
        agent.process(frame)

    return replace(agent, process=process)


def identity_of(topic: Topic) -> Any:
    """What makes two records of a topic the same fact."""

    def identity(pair: Pair) -> object:
        record = topic.codec.decode(pair[1] or b"")
        if topic.name == topics.DEAD_LETTERS.name:
            return record["agent"], record["source_topic"], record["source_partition"], record["source_offset"]
        if topic.name == topics.ALERTS.name:
            return record["alert_id"], record["seq"]
        if topic.name == topics.INCIDENTS.name:
            return record["incident_id"], record["seq"]
        if topic.name == topics.LABELLED_ANOMALY.name:
            return record["alert_id"], record["label_version"]
        return record[topic.id or "event_id"]

    return identity


def judge_changelog(
    what: str, sources: dict[str, list[Logged]], outcome: Outcome, records: Sequence[Logged]
) -> Verdict:
    """The MARKs are the frame log: they only grow and end at the inputs' ends; the rest folds to the state.

    In a frame without records time alone has passed; never more of it than the broker's clock tells.
    """
    state: dict[bytes, bytes] = {}
    position, clock, control, marks = dict.fromkeys(sources, 0), -1, -1, 0
    verdict = Verdict(what)
    for one in records:
        key = one.key or b""
        if key == MARK_KEY:
            mark = Mark.decode(one.value or b"")
            went_on = mark.clock > clock >= 0 if mark.offsets == position else _grew(position, mark.offsets)
            verdict.out_of_order += not went_on or mark.clock < clock or mark.control < control
            if mark.clock > one.timestamp + AHEAD_MS and len(verdict.remarks) < 3:
                verdict.remarks.append(f"the clock is {mark.clock - one.timestamp} ms before the broker's at {mark}")
            position, clock, control, marks = mark.offsets, mark.clock, mark.control, marks + 1
        elif one.value is None:
            state.pop(key, None)
        else:
            state[key] = one.value
    verdict.expected = verdict.found = marks
    verdict.lost = len(outcome.state.keys() - state.keys())
    verdict.doubled = len(state.keys() - outcome.state.keys())
    verdict.different = sum(state[key] != raw for key, raw in outcome.state.items() if key in state)
    for name, source in sources.items():
        if source and position[name] <= source[-1].offset:
            verdict.remarks.append(f"the last MARK is at {position[name]} of {name}, which ends at {source[-1].offset}")
    if clock != outcome.clock:
        verdict.remarks.append(f"the clock ends at {clock}, offline at {outcome.clock}")
    return verdict


def _grew(before: dict[str, int], after: dict[str, int]) -> bool:
    """Whether no position went back."""
    return before.keys() == after.keys() and all(after[name] >= before[name] for name in before)
