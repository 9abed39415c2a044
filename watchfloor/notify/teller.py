"""One channel's at-least-once consumer of the alerts topic.

Each channel has a consumer group of its own, so none waits for another. The offset moves on after a notification was
taken or refused for good; while the channel does not work, the notification at hand is tried again and all behind it
wait, in their order. What waits for the end of quiet hours is named in the metadata of the committed offset and read
again from the topic: there is no second store that could disagree with the offset.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from producers.offsets import bounds, settled
from schemas.codec import DecodeError
from schemas.topics import ALERTS
from watchfloor.log import message_at
from watchfloor.notify.channels import Channel, Failed, Refused, idempotency_key
from watchfloor.notify.config import Route
from watchfloor.notify.figures import Figures
from watchfloor.notify.routing import Decision, decide

log = logging.getLogger("watchfloor.notify")

POLL_S = 0.2
COMMIT_EVERY_S = 1.0
LAG_EVERY_S = 5.0
LIMIT_S = 10.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
# The broker takes 4,096 bytes of metadata with an offset.
METADATA_LIMIT = 4000


@dataclass(frozen=True, slots=True)
class Held:
    """A version of an alert that waits for the end of quiet hours, and its place in the topic."""

    offset: int
    alert: dict[str, Any]
    until: datetime


@dataclass(slots=True)
class Place:
    """A partition at hand. `next`: the first offset not dealt with; `held`: by alert id."""

    next: int
    held: dict[str, Held]
    committed: tuple[int, str]


class Moved(Exception):
    """The partition went to another process, or the process stops: whoever reads on does it again."""


class Teller:
    """Tells one channel. `run` returns after `stop` is set.

    Args:
        name: of the channel; also of its consumer group.
        routes: those that lead to the channel.
        max_age_s: what was published longer ago is history and not told; time in which the channel itself failed does
            not count. 0: no limit.
        instance: stable name of the process: after a restart under the same name it goes on at once.
        now: the clock of quiet hours.
    """

    def __init__(
        self,
        name: str,
        channel: Channel,
        routes: list[Route],
        *,
        servers: str,
        prefix: str,
        max_age_s: float,
        figures: Figures,
        stop: threading.Event,
        instance: str | None = None,
        session_timeout_ms: int = 10_000,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name, self.channel, self.routes = name, channel, routes
        self.servers, self.topic, self.group = servers, prefix + ALERTS.name, f"{prefix}notify.{name}"
        self.max_age_s = max_age_s
        self.figures, self.stop = figures, stop
        self.instance, self.session_timeout_ms = instance, session_timeout_ms
        self.now = now
        self._places: dict[int, Place] = {}
        self._generation = 0
        self._failed_s = 0.0
        self._commit_at = self._lag_at = 0.0
        for figure in (figures.sent, figures.refused, figures.retries, figures.expired, figures.held, figures.failing):
            figure.labels(name)

    def run(self) -> None:
        pause = FIRST_PAUSE_S
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                self._session()
            except KafkaException as error:
                pause = FIRST_PAUSE_S if time.monotonic() - began > LONGEST_PAUSE_S else min(2 * pause, LONGEST_PAUSE_S)
                log.warning("%s: Kafka: %s; connecting again in %.1f s", self.name, error.args[0].str(), pause)
                self.stop.wait(pause)

    def _session(self) -> None:
        static = {"group.instance.id": f"{self.group}-{self.instance}"} if self.instance else {}
        consumer = Consumer(
            {
                "bootstrap.servers": self.servers,
                "group.id": self.group,
                **static,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "session.timeout.ms": self.session_timeout_ms,
                "log_level": 0,
            }
        )
        try:
            consumer.subscribe([self.topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)
            while not self.stop.is_set():
                message = consumer.poll(POLL_S)
                try:
                    if message is not None:
                        self._take(consumer, message)
                    self._release(consumer)
                except Moved:
                    continue
                self._commit(consumer, now=False)
                self._measure(consumer)
            self._commit(consumer, now=True)
        finally:
            self._places.clear()
            self._generation += 1
            consumer.close()

    # -- partitions ---------------------------------------------------------------------------------------

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Begin where the group stands; a new group begins with what is not too old."""
        starts = consumer.committed(partitions, timeout=LIMIT_S)
        new = [one for one in starts if one.offset < 0]
        if new:
            since = int((time.time() - self.max_age_s) * 1000) if self.max_age_s else 0
            asked = [TopicPartition(one.topic, one.partition, since) for one in new]
            times = settled(lambda: consumer.offsets_for_times(asked, timeout=LIMIT_S))
            found = {one.partition: one.offset for one in times}
            for one in new:
                _, end = bounds(consumer, one.topic, one.partition)
                one.offset = found[one.partition] if found[one.partition] >= 0 else end
        for one in starts:
            metadata = one.metadata or ""
            place = Place(one.offset, {}, (one.offset, metadata))
            self._places[one.partition] = place
            for offset in unpacked(metadata):
                self._hold_again(place, one.partition, offset)
        consumer.assign(starts)

    def _hold_again(self, place: Place, partition: int, offset: int) -> None:
        message = message_at(self.servers, self.topic, partition, offset)
        alert = None if message is None else self._alert(message)
        if alert is None:
            log.warning("%s: what was held at %d:%d is not in the topic any more", self.name, partition, offset)
            return
        now = self.now()
        decision = decide(alert, self.routes, now)
        if decision.what != "skip":
            place.held[alert["alert_id"]] = Held(offset, alert, decision.until or now)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._generation += 1
        for one in partitions:
            self._places.pop(one.partition, None)

    # -- records ------------------------------------------------------------------------------------------

    def _take(self, consumer: Consumer, message: Message) -> None:
        error, place = message.error(), self._places.get(message.partition() or 0)
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        if place is None:
            return
        offset = message.offset() or 0
        if error is not None:
            place.next = max(place.next, offset)  # past the marks of transactions
            return
        alert = self._alert(message)
        if alert is not None:
            self._judge(consumer, place, alert, message)
        place.next = offset + 1

    def _judge(self, consumer: Consumer, place: Place, alert: dict[str, Any], message: Message) -> None:
        decision = decide(alert, self.routes, self.now())
        held = place.held.get(alert["alert_id"])
        if held is not None and (alert["state"] != "open" or alert.get("muted")):
            # Somebody took it, or it is over: nobody heard of it, so there is nothing to add.
            del place.held[alert["alert_id"]]
            return
        if decision.what == "skip":
            return
        if self.max_age_s and time.time() - message.timestamp()[1] / 1000 > self.max_age_s + self._failed_s:
            self.figures.expired.labels(self.name).inc()
            log.warning("%s: %s is too old to be told", self.name, idempotency_key(alert))
            return
        if decision.what == "hold" and self._held(place, alert, message.offset() or 0, decision):
            return
        self._tell(consumer, alert)
        place.held.pop(alert["alert_id"], None)
        place.next = (message.offset() or 0) + 1
        self._commit(consumer, now=True)

    def _held(self, place: Place, alert: dict[str, Any], offset: int, decision: Decision) -> bool:
        """Keep it for the end of quiet hours. False when no more can be kept: then it is told now."""
        assert decision.until is not None
        offsets = [each.offset for name, each in place.held.items() if name != alert["alert_id"]]
        if len(packed([*offsets, offset])) > METADATA_LIMIT:
            log.warning("%s: too much waits for the end of quiet hours; telling at once", self.name)
            return False
        place.held[alert["alert_id"]] = Held(offset, alert, decision.until)
        return True

    def _release(self, consumer: Consumer) -> None:
        """Tell what was held and is still open, now that quiet hours are over."""
        now = self.now()
        for number, place in list(self._places.items()):
            due = [each for each in place.held.values() if each.until <= now]
            if not due or self._unread(consumer, number, place):  # what is unread may say that it is over
                continue
            for each in sorted(due, key=lambda one: one.offset):
                if decide(each.alert, self.routes, now).what == "tell":
                    self._tell(consumer, each.alert)
                place.held.pop(each.alert["alert_id"], None)
                self._commit(consumer, now=True)

    def _tell(self, consumer: Consumer, alert: dict[str, Any]) -> None:
        """Send it, however long that takes. Raises Moved when the partition is not ours any more."""
        generation, attempt, key = self._generation, 0, idempotency_key(alert)
        while True:
            try:
                self.channel.send(alert)
            except Refused as error:
                self.figures.refused.labels(self.name).inc()
                log.error("%s: refuses %s, given up: %s", self.name, key, error)
                break
            except Failed as error:
                pause = min(FIRST_PAUSE_S * 2**attempt, LONGEST_PAUSE_S) * random.uniform(0.5, 1.5)
                pause = max(pause, error.after_s)
                attempt = min(attempt + 1, 10)
                self.figures.retries.labels(self.name).inc()
                self.figures.failing.labels(self.name).set(1)
                log.warning("%s: %s not sent: %s; again in %.1f s", self.name, key, error, pause)
                self._wait(consumer, pause, generation)
            else:
                self.figures.sent.labels(self.name).inc()
                log.info("%s: sent %s", self.name, key)
                break
        self.figures.failing.labels(self.name).set(0)

    def _wait(self, consumer: Consumer, seconds: float, generation: int) -> None:
        """Stay a member of the group for so long without reading on. Raises Moved."""
        deadline = time.monotonic() + seconds
        consumer.pause(consumer.assignment())
        while time.monotonic() < deadline:
            message = consumer.poll(POLL_S)
            if self.stop.is_set() or generation != self._generation:
                raise Moved
            error = None if message is None else message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            if message is not None and error is None:  # was on its way: read it again afterwards
                consumer.seek(TopicPartition(self.topic, message.partition() or 0, message.offset() or 0))
            self._measure(consumer)
        self._failed_s += seconds
        consumer.resume(consumer.assignment())

    def _alert(self, message: Message) -> dict[str, Any] | None:
        try:
            alert: dict[str, Any] = ALERTS.codec.decode(message.value() or b"")
        except DecodeError as error:
            self.figures.unreadable.labels(self.name).inc()
            log.error("%s: %s:%s is not an alert: %s", self.name, message.partition(), message.offset(), error)
            return None
        return alert

    # -- positions ----------------------------------------------------------------------------------------

    def _commit(self, consumer: Consumer, *, now: bool) -> None:
        if not now and time.monotonic() < self._commit_at:
            return
        self._commit_at = time.monotonic() + COMMIT_EVERY_S
        stands = {
            number: (place.next, packed([each.offset for each in place.held.values()]))
            for number, place in self._places.items()
        }
        moved = [
            TopicPartition(self.topic, number, *stand)
            for number, stand in stands.items()
            if stand != self._places[number].committed
        ]
        self.figures.held.labels(self.name).set(sum(len(place.held) for place in self._places.values()))
        if not moved:
            return
        try:
            consumer.commit(offsets=moved, asynchronous=False)
        except KafkaException as error:
            # Told and not noted: it will be told again, with the same key.
            log.warning("%s: the position was not stored: %s", self.name, error.args[0].str())
            return
        for one in moved:
            self._places[one.partition].committed = stands[one.partition]

    def _measure(self, consumer: Consumer) -> None:
        if time.monotonic() < self._lag_at:
            return
        self._lag_at = time.monotonic() + LAG_EVERY_S
        lag = sum(self._unread(consumer, number, place) for number, place in self._places.items())
        if lag == 0:
            self._failed_s = 0.0
        self.figures.lag.labels(self.name).set(lag)

    def _unread(self, consumer: Consumer, number: int, place: Place) -> int:
        _, end = bounds(consumer, self.topic, number)
        return max(0, end - place.next)


def packed(offsets: list[int]) -> str:
    """Offsets as text: the first one, then the distances; empty for none."""
    ordered = sorted(offsets)
    return ",".join(str(offset - before) for before, offset in zip([0, *ordered], ordered, strict=False))


def unpacked(text: str) -> list[int]:
    """What `packed` was given, in order."""
    offsets: list[int] = []
    for distance in text.split(",") if text else ():
        offsets.append((offsets[-1] if offsets else 0) + int(distance))
    return offsets
