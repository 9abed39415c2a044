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
        limit: records in a row, each alone in its frame, that may make the agent raise.
    """

    def __init__(self, limit: int = POISON_LIMIT) -> None:
        self.limit = limit
        self.streak = 0

    def passed(self) -> None:
        """A frame went through."""
        self.streak = 0

    def failed(self, error: BaseException) -> None:
        """A record that is alone in its frame made the agent raise. Raises PoisonFloodError past the limit."""
        if self.streak >= self.limit:
            raise PoisonFloodError(
                f"{self.streak + 1} records in a row made the agent raise, the last with "
                f"{type(error).__name__}: {error}"
            ) from error
        self.streak += 1
