"""What a dead letter may say in plain text where the records of an agent hold personal data: place, class, agent."""

from typing import Any

Letter = dict[str, Any]
"""A record of dead-letters."""

WITHHELD = "its content may be personal and was not kept, because no secret was set to seal it with"


def bare(letter: Letter, message: str) -> Letter:
    """A letter without key, value, headers and tenant, and with another message."""
    return letter | {"tenant_id": None, "message": message, "key": None, "value": None, "headers": []}


def withhold(letter: Letter) -> Letter:
    """What is kept of a letter that nobody can seal."""
    return bare(letter, WITHHELD)
