"""Many records given by their columns: what all have in common once, and of every other field a sequence."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Column: TypeAlias = Sequence[Any] | NDArray[np.float64]
"""A field's value for each record. One of shape (records, n) is of arrays of doubles or null: NaN is null."""


def count(columns: Mapping[str, Column]) -> int:
    """How many records they are. Raises ValueError unless all columns say the same; there must be one."""
    (found,) = {len(column) for column in columns.values()}
    return found


def records(common: Mapping[str, Any], columns: Mapping[str, Column]) -> Iterator[dict[str, Any]]:
    """The records one by one."""
    values = [_numbers(column) if isinstance(column, np.ndarray) else column for column in columns.values()]
    for row in zip(*values, strict=True):
        yield {**common, **dict(zip(columns, row, strict=True))}


def _numbers(table: NDArray[np.float64]) -> list[list[float | None]]:
    return [[None if value != value else value for value in row] for row in table.tolist()]
