"""The partition's clock while nothing comes: the monotonic clock, as far as the inputs were seen to be silent."""

import time
from collections.abc import Sequence

from streams.runtime.inputs import Input

# Between two looks that found the inputs silent; more than this was not seen, and does not count.
LONGEST_STEP_S = 2.0


class IdleClock:
    """Goes on only while the broker answers and has nothing: an outage is no silence of those who send.

    Attributes:
        now: the clock, epoch milliseconds; valid after `advance`.
    """

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._seen: float | None = None
        self._silent_s = 0.0
        self.now = -1

    def start(self) -> None:
        """The partition was opened, or something was committed: the silence begins anew."""
        self._seen = time.monotonic()
        self._silent_s = 0.0

    def advance(self, clock: int) -> bool:
        """Look at the inputs; whether there is time to tell. `clock` is that of the last commit."""
        answers = [each.answered() for each in self._inputs]  # all of them: each remembers when it was asked last
        silent = all(answers) and all(each.at_end for each in self._inputs)
        seen, self._seen = self._seen, time.monotonic() if silent else None
        if not silent or clock < 0:
            return False
        if seen is not None:
            self._silent_s += min(time.monotonic() - seen, LONGEST_STEP_S)
        self.now = clock + int(self._silent_s * 1000)
        return self.now > clock
