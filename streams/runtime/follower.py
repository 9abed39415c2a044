"""The follower: it reads the control topics to their end and keeps a worker's view of the settings fresh."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from streams.runtime import kafka
from streams.runtime.control import Control, Row
from streams.runtime.errors import Halt

log = logging.getLogger(__name__)

START_LIMIT_S = 60.0
STALL_TIMEOUT_S = 30.0
# A partition that opens waits so long, at most, until its question is heard.
POLL_S = 0.1
# Also when nothing comes, the ends are asked for: a consumer that fell silent is found, and opened again.
CHECK_INTERVAL_S = 10.0
CLOSE_TIMEOUT_S = 3.0
PAUSE_S = (0.1, 5.0)


class Follower:
    """Reads the control topics to their end, then follows them, through anything that Kafka does meanwhile.

    A view with offset n holds every change up to n: the topics are read separately, so before a change is shown, all of
    them are read to where they ended when it was seen. While Kafka is away the last view stays.

    Args:
        servers: bootstrap servers.
        topics: the control topics, one partition each.
        prefix: before every topic name.
        defaults: see `Control`.
        prepare: done with every view before it is handed out; it must end soon, and raise nothing.
    """

    def __init__(
        self,
        servers: str,
        topics: Sequence[Topic],
        *,
        prefix: str = "",
        defaults: Mapping[tuple[str, str], Any],
        prepare: Callable[[Control], Awaitable[None]] | None = None,
    ) -> None:
        self.servers, self.prefix = servers, prefix
        self.control = Control(defaults)
        self._defaults = defaults
        self._prepare = prepare
        self._topics = {TopicPartition(prefix + topic.name, 0): topic for topic in topics}
        self._source: AIOKafkaConsumer | None = None
        self._edge: AIOKafkaConsumer | None = None
        self._changed = asyncio.Event()
        # How many have asked for a reading to the end, and how many of them the view answers.
        self._asked = self._answered = 0
        self._trouble: Exception | None = None
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
        self.begin()

    def begin(self) -> None:
        """Begin to follow, without waiting for the first view; what goes wrong is logged and tried again."""
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

    async def read_to_end(self, limit_s: float) -> Control:
        """The first view that holds all that is in the control topics now. For use while it follows.

        Raises:
            Halt: they are missing, were made anew, or cannot be read by this release.
            TimeoutError: they did not let themselves be read within the limit (seconds).
        """
        self._asked += 1
        number = self._asked
        try:
            async with asyncio.timeout(limit_s):
                while self._answered < number:
                    if isinstance(self._trouble, Halt | LookupError):
                        raise Halt(f"control cannot be read: {self._trouble}") from self._trouble
                    await self._changed.wait()
        except TimeoutError as error:
            because = f": {self._trouble!r}" if self._trouble else ""
            raise TimeoutError(f"control was not read to its end within {limit_s:g} s{because}") from error
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
        asked = self._asked
        await self._show(Control(self._defaults).after(await self._read_on(self._source, self._edge)), asked)

    async def _follow(self) -> None:
        failed, again = 0, ""
        while True:
            try:
                if self._source is None or self._edge is None:
                    await self._open()
                    log.info("control is read%s, at %d", again, self.offset)
                failed, again = 0, " again"
                assert self._source is not None
                assert self._edge is not None
                await self._live(self._source, self._edge)
            except Halt as error:
                log.error("control stays at %d: %s", self.offset, error)
                trouble: Exception = error
            except Exception as error:  # noqa: BLE001 - logged; the topics are the truth to start again from
                log.warning("control at %d: %s: %s, reading it again", self.offset, type(error).__name__, error)
                trouble = error
            failed += 1
            self._trouble = trouble
            self._tell()
            await self._close()
            await asyncio.sleep(min(PAUSE_S[0] * 2 ** min(failed, 10), PAUSE_S[1]))

    async def _live(self, source: AIOKafkaConsumer, edge: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        while True:
            rows = self._rows(await kafka.fetch(source, POLL_S))
            asked = self._asked
            if rows or asked > self._answered or loop.time() - checked > CHECK_INTERVAL_S:
                rows += await self._read_on(source, edge)
                checked = loop.time()
                await self._show(self.control.after(rows) if rows else self.control, asked)

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

    async def _show(self, view: Control, asked: int) -> None:
        """Hand out a view, which answers those who had asked before it was read.

        Raises Halt when the view is older than the one before: then the topics are not what they were."""
        if view.offset < self.offset:
            raise Halt(f"the control topics end with command {view.offset} now: were they made anew?")
        if self._prepare is not None and view is not self.control:
            await self._prepare(view)
        self.control, self._answered, self._trouble = view, asked, None
        self._tell()

    def _tell(self) -> None:
        """Wake those who wait."""
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
