"""Sequences whose items are made when they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class RowSequence(Sequence[T]):
    """A sequence that makes its items from their row. A class needs only :meth:`row` and ``__len__``.

    Example:
        >>> class Squares(RowSequence[int]):
        ...     def __len__(self) -> int:
        ...         return 5
        ...
        ...     def row(self, row: int) -> int:
        ...         return row * row
        >>> Squares()[-1], Squares()[1:3]
        (16, [1, 4])
    """

    @abstractmethod
    def row(self, row: int) -> T:
        """The item in a row, from 0 to the length less 1."""

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        rows = range(len(self))[index]
        return self.row(rows) if isinstance(rows, int) else [self.row(row) for row in rows]
