"""What control says: a view of all settings that a worker carries along, and the follower that keeps it fresh.

A version of a setting holds from its `valid_from` on, before every lower version. So a record sees what was valid at
its own timestamp, whenever it is processed: every version is a record of its own, and compaction leaves them all.
"""

import asyncio
import json
import logging
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.codec import DecodeError
from schemas.topics import Topic
from streams.runtime import kafka
from streams.runtime.errors import Halt, StateVersionError

log = logging.getLogger(__name__)

EVERYONE = "*"
NO_OFFSET = -1
START_LIMIT_S = 60.0
STALL_TIMEOUT_S = 30.0
POLL_S = 0.5
# Also when nothing comes, the ends are asked for: a consumer that fell silent is found, and opened again.
CHECK_INTERVAL_S = 10.0
CLOSE_TIMEOUT_S = 3.0
PAUSE_S = (0.1, 5.0)

Row = tuple[Topic, bytes, bytes | None]
"""A record of a control topic: topic, key, value; no value removes a version."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a setting; see schemas/control.entry.avsc. `value` is decoded, None where it is inherited."""

    version: int
    value: Any
    valid_from: int
    command_offset: int
    command_id: str
    undoes: int | None
    by: str
    at: int
    reason: str


_FIELDS = [field.name for field in fields(Entry)]


class _Versions:
    """The versions of one setting of one tenant, and which of them holds when."""

    __slots__ = ("all", "holds", "starts")

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.all = tuple(sorted(entries, key=lambda entry: entry.version))
        holds: list[Entry] = []
        for entry in self.all:
            while holds and holds[-1].valid_from >= entry.valid_from:
                holds.pop()
            holds.append(entry)
        self.holds = tuple(holds)
        self.starts = tuple(entry.valid_from for entry in holds)

    def at(self, time: int) -> Entry | None:
        place = bisect_right(self.starts, time)
        return self.holds[place - 1] if place else None


class Control:
    """All settings as of one offset of the control log. It never changes; `after` makes another.

    Args:
        defaults: what holds where nobody has set anything, by (topic, setting). Also the list of what exists.
    Attributes:
        offset: offset in control.commands of the newest command that is in force here, -1 before the first.
    """

    __slots__ = ("_defaults", "_versions", "offset")

    def __init__(self, defaults: Mapping[tuple[str, str], Any]) -> None:
        self._defaults = defaults
        self._versions: dict[tuple[str, str, str], _Versions] = {}
        self.offset = NO_OFFSET

    def get(self, topic: str, tenant: str, name: str, time: int) -> Any:
        """The value that holds for a tenant at a record timestamp: its own, else that of `*`, else the default.

        Raises KeyError when there is no such setting.
        """
        found = self.find(topic, tenant, name, time)
        return self._defaults[topic, name] if found is None else found[1].value

    def find(self, topic: str, tenant: str, name: str, time: int) -> tuple[str, Entry] | None:
        """Whose value holds (the tenant's or that of `*`) and the version that says so; None for the default."""
        for who in (tenant, EVERYONE):
            versions = self._versions.get((topic, who, name))
            entry = None if versions is None else versions.at(time)
            if entry is not None and entry.value is not None:
                return who, entry
        return None

    def history(self, topic: str, tenant: str, name: str) -> tuple[Entry, ...]:
        """Every kept version of a tenant's own setting, the oldest first."""
        versions = self._versions.get((topic, tenant, name))
        return () if versions is None else versions.all

    def after(self, rows: Iterable[Row]) -> Self:
        """This view with more records of the control topics taken in; in any order between topics.

        Raises StateVersionError for a record that this release does not read.
        """
        changed: dict[tuple[str, str, str], dict[int, Entry]] = {}
        offset = self.offset
        for topic, key, value in rows:
            place, version = _place(topic, key)
            if place not in changed:
                changed[place] = {entry.version: entry for entry in self.history(*place)}
            if value is None:
                changed[place].pop(version, None)
                continue
            entry = _entry(topic, value)
            changed[place][entry.version] = entry
            offset = max(offset, entry.command_offset)
        view = type(self)(self._defaults)
        view._versions = self._versions | {place: _Versions(found.values()) for place, found in changed.items()}
        view.offset = offset
        return view


def _place(topic: Topic, key: bytes) -> tuple[tuple[str, str, str], int]:
    """Topic, tenant and name, and the version."""
    try:
        tenant, name, version = key.decode().split("|")
        return (topic.name, tenant, name), int(version)
    except ValueError as error:
        raise StateVersionError(f"a record of {topic.name} has the key {key!r}, not tenant|name|version") from error


def _entry(topic: Topic, value: bytes) -> Entry:
    try:
        record = topic.codec.decode(value)
    except DecodeError as error:
        raise StateVersionError(f"a record of {topic.name} cannot be read: {error}") from error
    text = record["value"]
    return Entry(**{name: record[name] for name in _FIELDS if name != "value"}, value=text and json.loads(text))


class Follower:
    """Reads the control topics to their end, then follows them, through anything that Kafka does meanwhile.

    A view with offset n holds every change up to n: the topics are read separately, so before a change is shown, all of
    them are read to where they ended when it was seen. While Kafka is away the last view stays.

    Args:
        servers: bootstrap servers.
        topics: the control topics, one partition each.
        prefix: before every topic name.
        defaults: see `Control`.
    """

    def __init__(
        self, servers: str, topics: Sequence[Topic], *, prefix: str = "", defaults: Mapping[tuple[str, str], Any]
    ) -> None:
        self.servers, self.prefix = servers, prefix
        self.control = Control(defaults)
        self._defaults = defaults
        self._topics = {TopicPartition(prefix + topic.name, 0): topic for topic in topics}
        self._source: AIOKafkaConsumer | None = None
        self._edge: AIOKafkaConsumer | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def offset(self) -> int:
        """Offset of the newest command in force; see `Control`."""
        return self.control.offset

    async def start(self, limit_s: float = START_LIMIT_S) -> None:
        """Read the control topics to their end and begin to follow them.

        Raises:
            LookupError: a topic is missing, or has more than one partition.
            StateVersionError: a newer release wrote to them.
            TimeoutError: Kafka did not let itself be read within the limit (seconds).
        """
        trouble: BaseException | None = None
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        await self._open()
                        break
                    except KafkaError as error:
                        trouble = error
                        await self._close()
                        await asyncio.sleep(PAUSE_S[0])
        except TimeoutError as error:
            await self._close()
            because = f": {trouble!r}" if trouble else ""
            raise TimeoutError(
                f"control at {self.servers} could not be read to its end within {limit_s:g} s{because}"
            ) from error
        except BaseException:
            await self._close()
            raise
        self._task = asyncio.create_task(self._follow(), name="control")

    async def stop(self) -> None:
        """End; the last view stays. Within a few seconds."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=2)
            self._task = None
        await self._close()

    async def wait_until(self, offset: int, timeout_s: float) -> Control:
        """The first view that holds the command of that offset. TimeoutError says where it stands instead."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.offset < offset:
                    await self._changed.wait()
        except TimeoutError as error:
            raise TimeoutError(f"control is at {self.offset}, not at {offset}, after {timeout_s:g} s") from error
        return self.control

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- reading ------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        """Read everything from the beginning, and show it when it is whole."""
        self._source = kafka.consumer(self.servers, auto_offset_reset="none", fetch_max_wait_ms=100)
        await asyncio.wait_for(self._source.start(), kafka.REQUEST_TIMEOUT_S)
        # It tells where the logs end with what is not committed yet.
        self._edge = AIOKafkaConsumer(bootstrap_servers=self.servers, enable_auto_commit=False)
        await asyncio.wait_for(self._edge.start(), kafka.REQUEST_TIMEOUT_S)
        for each in self._topics:
            count = await kafka.partitions_of(self._edge, each.topic)
            if count != 1:
                raise LookupError(f"{each.topic} has {count} partitions: a control topic must have one")
        self._source.assign(list(self._topics))
        for each in self._topics:
            begin, _ = await kafka.bounds(self._source, each)
            self._source.seek(each, begin)
        self._show(Control(self._defaults).after(await self._read_on(self._source, self._edge)))

    async def _follow(self) -> None:
        failed = 0
        while True:
            try:
                if self._source is None or self._edge is None:
                    await self._open()
                    failed = 0
                    log.info("control is read again, at %d", self.offset)
                assert self._source is not None
                assert self._edge is not None
                await self._live(self._source, self._edge)
            except Halt as error:
                log.error("control stays at %d: %s", self.offset, error)
                failed += 1
            except Exception as error:  # noqa: BLE001 - logged; the topics are the truth to start again from
                log.warning("control at %d: %s: %s, reading it again", self.offset, type(error).__name__, error)
                failed += 1
            await self._close()
            await asyncio.sleep(min(PAUSE_S[0] * 2 ** min(failed, 10), PAUSE_S[1]))

    async def _live(self, source: AIOKafkaConsumer, edge: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            rows = self._rows(await kafka.fetch(source, POLL_S))
            if rows or loop.time() - checked > CHECK_INTERVAL_S:
                rows += await self._read_on(source, edge)
                checked = loop.time()
            if rows:
                self._show(self.control.after(rows))

    async def _read_on(self, source: AIOKafkaConsumer, edge: AIOKafkaConsumer) -> list[Row]:
        """What comes up to the present end of every topic.

        The end of what is written, not of what is committed: of a transaction that is seen in one topic, the rest lies
        before it in the others, but its marker may still be under way there.
        """
        ends = await asyncio.wait_for(edge.end_offsets(list(self._topics)), kafka.REQUEST_TIMEOUT_S)
        loop = asyncio.get_running_loop()
        rows: list[Row] = []
        moved, before = loop.time(), -1
        while True:
            stands = {each: await source.position(each) for each in self._topics}
            if all(stands[each] >= ends[each] for each in self._topics):
                return rows
            if sum(stands.values()) > before:
                moved, before = loop.time(), sum(stands.values())
            elif loop.time() - moved > STALL_TIMEOUT_S:
                raise TimeoutError(f"control stands at {stands} of {ends} for {STALL_TIMEOUT_S:g} s")
            rows += self._rows(await kafka.fetch(source, 0.02))

    def _rows(self, fetched: Mapping[TopicPartition, Iterable[Any]]) -> list[Row]:
        return [(self._topics[each], record.key, record.value) for each, found in fetched.items() for record in found]

    def _show(self, view: Control) -> None:
        """Raises Halt when the view is older than the one before: then the topics are not what they were."""
        if view.offset < self.offset:
            raise Halt(f"the control topics end with command {view.offset} now: were they made anew?")
        self.control = view
        self._changed.set()
        self._changed = asyncio.Event()

    async def _close(self) -> None:
        clients = [client for client in (self._source, self._edge) if client is not None]
        self._source = self._edge = None
        if not clients:
            return
        stops = asyncio.gather(*(client.stop() for client in clients), return_exceptions=True)
        await asyncio.wait([stops], timeout=CLOSE_TIMEOUT_S)
        stops.cancel()
