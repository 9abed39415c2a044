"""Finding the record that makes an agent raise: the frame is cut in halves until the record is alone."""

from collections.abc import Sequence
from typing import TypeVar

from streams.runtime.errors import PoisonFloodError

T = TypeVar("T")

POISON_LIMIT = 10


def halves(records: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The frame in two, in order. Raises ValueError for less than two records."""
    if len(records) < 2:
        raise ValueError("one record cannot be cut in halves")
    middle = len(records) // 2
    return records[:middle], records[middle:]


class PoisonCounter:
    """Tells a bad record from a bug that hits every record: the latter must not drain the stream.

    Args:
        limit: records and timers in a row that may make the agent raise.
    """

    def __init__(self, limit: int = POISON_LIMIT) -> None:
        self.limit = limit
        self.streak = 0

    def passed(self, last_refused: bool = False) -> None:
        """A frame went through; `last_refused` when the last that it met was a timer that failed."""
        if not last_refused:
            self.streak = 0

    def timer_failed(self, place: int, refused: dict[int, Exception], error: Exception) -> None:
        """A timer made the agent raise; `place` and `refused` are those of the frame's timeline. Raises as `failed`."""
        if place > 0 and place - 1 not in refused:
            self.streak = 0
        self.failed(error)
        refused[place] = error

    def failed(self, error: BaseException) -> None:
        """A record that is alone in its frame made the agent raise. Raises PoisonFloodError past the limit."""
        if self.streak >= self.limit:
            raise PoisonFloodError(
                f"{self.streak + 1} records in a row made the agent raise, the last with "
                f"{type(error).__name__}: {error}"
            ) from error
        self.streak += 1
