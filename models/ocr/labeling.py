"""Labeling tasks apart from any stream: why there is one, its states and their moves, names."""

from collections.abc import Mapping
from typing import Any

from models.alerts import Moves
from models.identity import derived_id

IMPLAUSIBLE = "implausible"
"""The reason of tasks that the stream opens: three readings in a row speak against what is confirmed."""

RANDOM, UNCERTAIN, CONTRADICTED, DUPLICATE = "random", "uncertain", "contradicted", "duplicate"
"""The reasons of a batch's tasks."""

AGAIN = (CONTRADICTED, DUPLICATE)
"""Of these the reading is judged already, and is looked at again."""

PENDING = ("open", "assigned")

MOVES: Moves = {
    ("open", "take"): "assigned",
    ("open", "answer"): "labelled",
    ("open", "skip"): "skipped",
    ("assigned", "take"): "assigned",
    ("assigned", "answer"): "labelled",
    ("assigned", "skip"): "skipped",
}
"""Every move that a task can make. One that is done never comes back: a reading that is to be looked at again gets a
task of its own."""

BY_PEOPLE = ("take", "answer", "skip")


def task_id(tenant: str, reason: str, event_id: str) -> str:
    """UUID of a batch's task. A reading has one for its first look and one for the second, whatever batch asks."""
    return derived_id(tenant, "relabel" if reason in AGAIN else "label", event_id)


def outcome_id(task: Mapping[str, Any]) -> str:
    """Id of the outcome that answers a task; the database finds the second look of a reading by it."""
    return f"label-{task['task_id']}"


def shown(task: Mapping[str, Any]) -> dict[str, Any]:
    """A task as the person who works on it may see it.

    Why a reading is part of a batch would sway the answer, and one that is asked for again must look like any other.
    """
    hidden = ("reason", "propensity", "note") if task["batch"] is not None else ("propensity",)
    return {name: value for name, value in task.items() if name not in hidden}
