"""Reading a partition's state back from its changelog."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiokafka import TopicPartition

from streams.runtime import kafka
from streams.runtime.mark import MARK_KEY, Mark

FETCH_BYTES = 4 * 1024 * 1024
STALL_TIMEOUT_S = 60.0


class _Collector:
    """The garbage collector rests while any partition restores: it would walk every entry again and again."""

    def __init__(self) -> None:
        self.resting = 0

    @contextmanager
    def rest(self) -> Iterator[None]:
        if self.resting == 0:
            gc.disable()
        self.resting += 1
        try:
            yield
        finally:
            self.resting -= 1
            if self.resting == 0:
                gc.enable()
                # What was restored stays; the collector need not look at it again.
                gc.collect()
                gc.freeze()


_collector = _Collector()


@dataclass(frozen=True, slots=True)
class Restored:
    """State of a partition as of its last committed frame; `mark` is None before the first."""

    entries: dict[bytes, bytes]
    mark: Mark | None
    seconds: float


async def restore(servers: str, topic: str, partition: int) -> Restored:
    """Read a changelog partition up to the end that it has now.

    Raises:
        TimeoutError: nothing came for a minute although the end was not reached.
        StateVersionError: MARK is in a format that this release does not read.
    """
    started = time.monotonic()
    log = TopicPartition(topic, partition)
    source = kafka.consumer(
        servers, max_partition_fetch_bytes=FETCH_BYTES, fetch_max_wait_ms=100, auto_offset_reset="none"
    )
    entries: dict[bytes, bytes] = {}
    async with kafka.started(source):
        source.assign([log])
        begin, end = await kafka.bounds(source, log)
        # Not seek_to_beginning: a reset to the end that is already in flight could win over it.
        source.seek(log, begin)
        moved = time.monotonic()
        with _collector.rest():
            # The position, not the last record: the log may end with control records, which are never returned.
            while (position := await source.position(log)) < end:
                for rows in (await kafka.fetch(source, 0.02)).values():
                    for row in rows:
                        key, value = row.key, row.value
                        if value is None:
                            entries.pop(key, None)  # type: ignore[arg-type]
                        else:
                            entries[key] = value  # type: ignore[index]
                if await source.position(log) > position:
                    moved = time.monotonic()
                elif time.monotonic() - moved > STALL_TIMEOUT_S:
                    raise TimeoutError(
                        f"{topic}[{partition}] stands at {position} of {end} for {STALL_TIMEOUT_S:.0f} s"
                    )
    raw = entries.pop(MARK_KEY, None)
    return Restored(entries, None if raw is None else Mark.decode(raw), time.monotonic() - started)
