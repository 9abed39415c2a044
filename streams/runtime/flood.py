"""Telling a flood of dead letters from a few bad records: over it, a partition pauses until a person releases it."""

from streams.runtime.control import EVERYONE, Control, Entry

LIMIT = ("control.thresholds", "dead_letter_limit")
SHARE = ("control.thresholds", "dead_letter_share")
RELEASE = ("control.flags", "release")
"""Control topic and name of the settings that say what is a flood, and who is released from its pause."""

MINUTE_MS = 60_000
MINUTES = 5
LEAST = 20
"""Fewer dead letters are no flood, whatever their share: one bad record of 50 is one bad record."""


class Flood:
    """Records and dead letters of a partition in the last five minutes, by the timestamps of the records."""

    def __init__(self) -> None:
        self._minutes: dict[int, tuple[int, int]] = {}
        self._now = 0

    def add(self, time: int | None, records: int, dead: int) -> None:
        """Take in a frame. `time`: timestamp of its last record, epoch milliseconds; None for a frame without one."""
        if time is not None:
            self._now = time // MINUTE_MS
        before = self._minutes.get(self._now, (0, 0))
        self._minutes[self._now] = before[0] + records, before[1] + dead
        # Both ways: a record that claims to be from next year must not put an end to the counting.
        if len(self._minutes) > MINUTES:
            self._minutes = {each: sums for each, sums in self._minutes.items() if abs(each - self._now) < MINUTES}

    def found(self, control: Control) -> str:
        """What is wrong, in words; empty while nothing is. Raises KeyError where control does not have the settings."""
        recent = [sums for each, sums in self._minutes.items() if abs(each - self._now) < MINUTES]
        records, dead = (sum(column) for column in zip(*recent, strict=True)) if recent else (0, 0)
        time = max(0, self._now * MINUTE_MS)
        limit = control.get(LIMIT[0], EVERYONE, LIMIT[1], time)
        share = control.get(SHARE[0], EVERYONE, SHARE[1], time)
        if dead > limit or (dead >= LEAST and dead > share * records):
            return f"{dead:,} dead letters among {records:,} records of {MINUTES} minutes"
        return ""


def released(control: Control, agent: str, partition: int, paused_at: int) -> Entry | None:
    """The release of a partition that was paused under the control of that offset; None while there is none."""
    for entry in reversed(control.history(RELEASE[0], EVERYONE, RELEASE[1])):
        # What an undo brings back was said about something else.
        newer = entry.command_offset > paused_at and entry.undoes is None
        if newer and entry.value in ("all", agent, f"{agent}/{partition}"):
            return entry
    return None
