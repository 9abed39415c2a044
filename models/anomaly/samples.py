"""What detectors take in: a time and a value."""

from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LARGEST = 1e100
"""Beyond this a value is taken for missing: no metric is that large, and sums of such values overflow."""


def milliseconds(timestamp: datetime) -> int:
    """Epoch milliseconds of a timestamp; one without a zone is UTC."""
    if timestamp.tzinfo is None:
        timestamp = timestamp.replace(tzinfo=UTC)
    passed = timestamp - EPOCH
    return passed.days * 86_400_000 + passed.seconds * 1000 + passed.microseconds // 1000
