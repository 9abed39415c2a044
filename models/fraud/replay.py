"""Events of the past through the same code as the stream: for training, evaluation and parity."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.fraud.device import NO_DEVICE, UNUSED, Device, DeviceFacts, mark_of, observe
from models.fraud.references import References
from models.fraud.vectors import Case, People, case_of, vectors
from schemas.topics import EVENTS_ATTENDANCE

BATCH = 4000
"""Events measured at a time; the vectors do not depend on it."""

Event = Mapping[str, Any]


class Measured(NamedTuple):
    """Events and their vectors (n × len(FEATURES_V2)), in the same order."""

    events: list[Event]
    vectors: NDArray[np.float64]


class Devices:
    """Every device's past, as far as it has been replayed."""

    def __init__(self) -> None:
        self._devices: dict[tuple[str, str], Device] = {}
        self._last: dict[tuple[str, str, int], int] = {}

    def measure(self, event: Event) -> DeviceFacts:
        """What an event's device tells, which learns it; events of one device in the order of their log."""
        name = event["device_id"]
        if name is None:
            return NO_DEVICE
        tenant, mark = event["tenant_id"], mark_of(event["person_id"])
        place = tenant, name, mark
        device, last = self._devices.get((tenant, name), UNUSED), self._last.get(place)
        facts, self._devices[tenant, name], self._last[place] = observe(device, last, mark, event["occurred_at"])
        return facts


class Replay:
    """Everybody's and everything's past, as far as it has been replayed.

    Args:
        references: sites, calendars and rosters.
    """

    def __init__(self, references: References) -> None:
        self._references = references
        self.people = People()
        self.devices = Devices()

    def measure(self, events: Iterable[Event], batch: int = BATCH) -> Iterator[Measured]:
        """Vectors of events, which are learned: first those of what comes first.

        Args:
            events: of events.attendance, valid, each once, in the order of their log.
            batch: how many are measured at a time.
        """
        source = iter(events)
        while waiting := list(islice(source, batch)):
            yield Measured(waiting, vectors([self._case(event) for event in waiting], self.people))

    def _case(self, event: Event) -> Case:
        key = EVENTS_ATTENDANCE.key_of(event)
        return case_of(key, event, self._references, event["occurred_at"], self.devices.measure(event))
