"""The books: what went in against what came out, id by id."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sinks.store import Store, quoted


@dataclass(frozen=True, slots=True)
class Tally:
    """Events of an input topic against a model's predictions in the FINAL view.

    lost: ids of the topic without a prediction; doubled: ids with more than one, or predictions of no event.
    """

    events: int
    predictions: int
    alerts: int
    dead_letters: int
    lost: int
    doubled: int


def compare(events: Iterable[str], predictions: Iterable[str]) -> tuple[int, int]:
    """(lost, doubled) of the events' ids against the ids that predictions speak of."""
    asked, answered = set(events), Counter(predictions)
    lost = sum(1 for name in asked if name not in answered)
    doubled = sum(count - 1 if name in asked else count for name, count in answered.items())
    return lost, doubled


def tally(store: Store, events: list[str], model: str) -> Tally:
    """Reads the views and compares. An event that is a dead letter has no prediction and counts as lost here."""
    ids = f"SELECT event_id FROM {quoted(store.database)}.v_predictions WHERE model = {{model:String}}"
    answered = [str(row["event_id"]) for row in store.query(ids, {"model": model})]
    lost, doubled = compare(events, answered)
    return Tally(len(events), len(answered), count(store, "v_alerts"), count(store, "v_dead_letters"), lost, doubled)


def count(store: Store, view: str, where: str = "true", **values: Any) -> int:
    """Rows of a view. `where`: an SQL condition, with {name:Type} for the values."""
    found = store.query(f"SELECT count() AS n FROM {quoted(store.database)}.{view} WHERE {where}", values)
    return int(found[0]["n"])


def scored(store: Store, model: str) -> int:
    """How many predictions of a model there are."""
    return count(store, "v_predictions", "model = {model:String}", model=model)
