"""How long people wait: from a fault to the first new output of every partition."""

import re
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice, zip_longest

from confluent_kafka import TopicPartition

from tests.faults.logs import consumer

Born = Callable[[bytes], float | None]
"""Output value -> wall-clock second at which its input was published; None when it does not say."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something done to the system at a wall-clock second. `counted` faults have a recovery time."""

    at: float
    kind: str
    target: str = ""
    counted: bool = True


@dataclass(slots=True)
class Watch:
    """Reads one output topic (read_committed) live; remembers (arrival, birth) in seconds per lane.

    A lane is a way through the system: a partition of the topic, and where `sources` > 1 also the partition of the
    input that the output says it came from.
    """

    servers: str
    topic: str
    partitions: int
    born: Born
    sources: int = 1
    seen: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    last: float = 0.0
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name=f"watch {self.topic}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread is not None:
            self.thread.join(20)

    def _run(self) -> None:
        client = consumer(self.servers, **{"fetch.wait.max.ms": 50, "reconnect.backoff.max.ms": 500})
        client.assign([TopicPartition(self.topic, number, 0) for number in range(self.partitions)])
        try:
            while not self.stopping.is_set():
                for message in client.consume(2_000, 0.1):
                    if message.error() is None:
                        self._note(message.partition(), message.value())
        finally:
            client.close()

    def _note(self, partition: int | None, value: bytes | None) -> None:
        self.count += 1
        self.last = time.time()
        born = self.born(value) if value is not None else None
        if partition is not None and born is not None:
            lane = partition if self.sources == 1 else partition * self.sources + source(value or b"")
            self.seen[lane].append((self.last, born))

    @property
    def lanes(self) -> int:
        return self.partitions * self.sources

    def recovery(self, fault: Fault) -> float | None:
        """Seconds from the fault until each lane had delivered an output of an event born after it.

        None when some lane never did.
        """
        worst = 0.0
        for lane in range(self.lanes):
            seen = self.seen[lane]
            begin = bisect_left(seen, (fault.at, 0.0))
            first = next((arrived for arrived, born in islice(seen, begin, len(seen)) if born > fault.at), None)
            if first is None:
                return None
            worst = max(worst, first - fault.at)
        return worst


@dataclass(frozen=True, slots=True)
class Watches:
    """Several output topics watched together: recovery is over when each of them flows."""

    all: tuple[Watch, ...]

    def start(self) -> None:
        for watch in self.all:
            watch.start()

    def stop(self) -> None:
        for watch in self.all:
            watch.stop()

    @property
    def flowing(self) -> bool:
        """Whether something has come on every lane."""
        return all(len(watch.seen) == watch.lanes for watch in self.all)

    @property
    def last(self) -> float:
        return max(watch.last for watch in self.all)

    def recovery(self, fault: Fault) -> float | None:
        """As `Watch.recovery`, of the slowest."""
        found = [watch.recovery(fault) for watch in self.all]
        known = [seconds for seconds in found if seconds is not None]
        return max(known) if len(known) == len(found) else None


_BIRTH = re.compile(rb"@(\d{13})@(?:(\d+)\.)?")


def birth_mark(now: float) -> str:
    """What load puts into an event's id, so that outputs which repeat the id say when it was born."""
    return f"@{int(now * 1000)}@"


def source(value: bytes) -> int:
    """The number behind the birth mark."""
    found = _BIRTH.search(value)
    return int(found[2] or 0) if found else 0


def born(value: bytes) -> float | None:
    """Reads the birth mark back out of any output that carries the event's id as text."""
    found = _BIRTH.search(value)
    return int(found[1]) / 1000 if found else None


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery seconds of one kind of fault; `never` counts faults after which a partition stayed silent."""

    kind: str
    count: int
    best: float | None
    median: float | None
    worst: float | None
    never: int


def recoveries(watch: Watch | Watches, faults: list[Fault]) -> list[Recovery]:
    """Recovery by kind of fault. Faults that came before the last one of their kind was over make a row of their
    own, "KIND in a row", and count from the last of them.
    """
    times: dict[str, list[float | None]] = defaultdict(list)
    counted = [fault for fault in faults if fault.counted]
    overtaken = False
    for fault, following in zip_longest(counted, counted[1:]):
        seconds = watch.recovery(fault)
        same = following is not None and following.kind == fault.kind
        if same and (seconds is None or fault.at + seconds > following.at):
            overtaken = True
            continue
        times[f"{fault.kind} in a row" if overtaken else fault.kind].append(seconds)
        overtaken = False
    rows = []
    for kind, found in times.items():
        done = sorted(seconds for seconds in found if seconds is not None)
        best, median, worst = (done[0], done[len(done) // 2], done[-1]) if done else (None, None, None)
        rows.append(Recovery(kind, len(found), best, median, worst, len(found) - len(done)))
    return rows
