"""What may go wrong with a partition, apart from a bad record (which becomes a dead letter)."""


class Halt(Exception):
    """The partition must stop: going on would be wrong for every record, not for one.

    An agent raises it for a broken configuration or a state that it cannot read. Nothing of the frame is
    committed; the partition is opened again after a pause, and so goes on by itself once the cause is mended.
    """


class StateVersionError(Halt):
    """A stored value was written by a format that this release does not read."""


class PositionError(Halt):
    """The position in MARK is outside the input's log: records are gone, or the topic is another one."""


class PoisonFloodError(Halt):
    """Too many records in a row made the agent raise: that is a bug in the agent, not a run of bad records."""
