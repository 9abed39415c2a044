"""The domains whose traffic a scenario of the product may have: a domain adds a name here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from schemas import topics
from schemas.topics import Topic
from streams.serving import NO_MODELS, Models
from tests.faults import attendance
from tests.faults.attendance import ATTENDANCE
from tests.faults.cluster import Cluster
from tests.faults.ocr import OCR
from tests.faults.samples import Fleet, Message
from tests.faults.simulated import Simulated
from tests.faults.sync import SYNC


class Source(Protocol):
    """An endless stream of messages. `random`: what seeds further choices."""

    random: Any

    def next(self) -> Message: ...


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain's traffic.

    Attributes:
        source: its messages, by seed, partitions, and whether odd ones are mixed in.
        output: the topic that shows whether it flows.
        repartitioned: whether events go through the partitions of another key on their way to it.
        models: what its agents load, for the oracle, by cluster and seed.
        enter: what must be known before it flows, done through control once workers run.
    """

    source: Callable[[int, int, bool], Source]
    output: Topic
    repartitioned: bool = False
    models: Callable[[Cluster, int], Models] = lambda cluster, seed: NO_MODELS
    enter: Callable[[Cluster, int], None] = lambda cluster, seed: None


DOMAINS: Mapping[str, Domain] = {
    "metrics": Domain(lambda seed, partitions, odd: Fleet(seed, odd=odd), topics.PREDICTIONS_ANOMALY),
    "attendance": Domain(
        partial(Simulated, ATTENDANCE),
        topics.PREDICTIONS_FRAUD,
        repartitioned=True,
        models=attendance.model,
        enter=attendance.enter,
    ),
    "sync": Domain(partial(Simulated, SYNC), topics.PREDICTIONS_CONFLICT, repartitioned=True),
    "ocr": Domain(partial(Simulated, OCR), topics.PREDICTIONS_OCR_TRUST),
}


class Mixed:
    """Messages of several sources, each as likely as the others."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.random = sources[0].random
        self._sources = sources

    def next(self) -> Message:
        return self.random.choice(self._sources).next()
