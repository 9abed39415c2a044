"""Many records given by their columns: what all have in common once, and of every other field a sequence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Coded(Sequence[Any]):
    """Few different values of many records.

    Attributes:
        values: each of them.
        codes: which of them a record has, (records,).
    """

    values: Sequence[Any]
    codes: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Any]:
        return iter([self.values[code] for code in self.codes.tolist()])

    @overload
    def __getitem__(self, row: int) -> Any: ...
    @overload
    def __getitem__(self, row: slice) -> "Coded": ...
    def __getitem__(self, row: int | slice) -> Any:
        return Coded(self.values, self.codes[row]) if isinstance(row, slice) else self.values[self.codes[row]]


Column: TypeAlias = Sequence[Any] | NDArray[np.float64]
"""A field's value for each record. A numpy array is of doubles, NaN being null: of shape (records,) one for each, of
(records, n) an array of them."""


def count(columns: Mapping[str, Column]) -> int:
    """How many records they are. Raises ValueError unless all columns say the same; there must be one."""
    (found,) = {len(column) for column in columns.values()}
    return found


def records(common: Mapping[str, Any], columns: Mapping[str, Column]) -> Iterator[dict[str, Any]]:
    """The records one by one."""
    values = [_numbers(column) if isinstance(column, np.ndarray) else column for column in columns.values()]
    for row in zip(*values, strict=True):
        yield {**common, **dict(zip(columns, row, strict=True))}


def _numbers(table: NDArray[np.float64]) -> list[Any]:
    if table.ndim > 1:
        return [_numbers(row) for row in table]
    return [None if value != value else value for value in table.tolist()]
