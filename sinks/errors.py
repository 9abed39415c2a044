"""What can go wrong between the topics and the tables."""


class SinkStopped(Exception):
    """The sink must not go on by itself; the text says what is wrong and what to do. `code` is the exit code."""

    code = 1


class Mismatch(SinkStopped):
    """Tables or settings in ClickHouse are not what this release writes."""

    code = 3


class LostTrack(SinkStopped):
    """The stored progress does not belong to the topic as it is now."""

    code = 4


class Unavailable(Exception):
    """ClickHouse cannot be reached or asks for patience: the same request may succeed later."""


class Refused(Exception):
    """ClickHouse will not store these data, now or later. `code` is its error number."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
