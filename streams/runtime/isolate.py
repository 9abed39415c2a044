"""Finding the record that makes an agent raise: the frame is cut in halves until the record is alone."""

from collections.abc import Sequence
from typing import TypeVar

from streams.runtime.errors import PoisonFloodError

T = TypeVar("T")

POISON_LIMIT = 10
AHEAD = 10
"""Records after a bad one that are looked at once the limit is reached: a bug hits them, too."""


def halves(records: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    """The frame in two, in order. Raises ValueError for less than two records."""
    if len(records) < 2:
        raise ValueError("one record cannot be cut in halves")
    middle = len(records) // 2
    return records[:middle], records[middle:]


def ahead(rest: Sequence[T], after: Sequence[T]) -> Sequence[T]:
    """The next records: the first of those that are left of a frame, and of what comes after it."""
    return (*rest[:AHEAD], *after)[:AHEAD]


class PoisonCounter:
    """Tells a bad record from a bug that hits every record: the latter must not drain the stream.

    Args:
        limit: records and timers in a row that may make the agent raise.
        quiet: say what the agent raised by its class alone, because its text may quote personal data.
    """

    def __init__(self, limit: int = POISON_LIMIT, *, quiet: bool = False) -> None:
        self.limit = limit
        self.quiet = quiet
        self.streak = 0

    def passed(self, last_refused: bool = False) -> None:
        """A frame went through; `last_refused` when the last that it met was a timer that failed."""
        if not last_refused:
            self.streak = 0

    @property
    def full(self) -> bool:
        """Whether the next failure is taken for a bug, unless some record after it passes."""
        return self.streak >= self.limit

    def timer_failed(
        self, place: int, refused: dict[int, Exception], error: Exception, *, others_pass: bool = False
    ) -> None:
        """A timer made the agent raise; `place` and `refused` are those of the frame's timeline. Raises as `failed`."""
        if place > 0 and place - 1 not in refused:
            self.streak = 0
        self.failed(error, others_pass=others_pass)
        refused[place] = error

    def failed(self, error: BaseException, *, others_pass: bool = False) -> None:
        """A record that is alone in its frame made the agent raise.

        Args:
            error: what it raised.
            others_pass: whether one of the next AHEAD records would pass: then this one is bad by itself.
        Raises:
            PoisonFloodError: past the limit.
        """
        if self.full:
            if others_pass:
                return
            text = type(error).__name__ if self.quiet else f"{type(error).__name__}: {error}"
            raise PoisonFloodError(
                f"{self.streak + 1} records in a row made the agent raise, the last with {text}"
            ) from (None if self.quiet else error)
        self.streak += 1
