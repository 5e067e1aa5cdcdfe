"""What a rule remembers: named arrays over all series, grown by whole series, saved as bytes."""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
Bools = NDArray[np.bool_]
Rows = NDArray[np.intp] | slice
"""Which series: each at most once."""


def column(dtype: DTypeLike, initial: float | bool = 0, shape: tuple[int, ...] = ()) -> Any:
    """A field of a `Memory`: per series an array of `shape` (a single value by default), `initial` in a new series."""
    return dataclasses.field(metadata={"dtype": np.dtype(dtype), "initial": initial, "shape": shape})


@dataclasses.dataclass(slots=True)
class Memory:
    """To be derived from: a dataclass (slots) whose fields are all `column`s. The first axis is the series.

    A rule computes on a part of it, which `take` gives: for `slice(None)` the arrays themselves, which is fastest, for
    some rows copies, which are changed in place and `put` back.
    """

    by: ClassVar[Literal["series", "node", "other"]] = "series"
    """What a row is of: a node has a number of its own, and what is of several nodes or of a pair is other."""

    @classmethod
    def blank(cls, series: int) -> Self:
        """Of so many series of which nothing is known."""
        return cls(**{each.name: _new(each, series) for each in dataclasses.fields(cls)})

    def __len__(self) -> int:
        first = dataclasses.fields(self)[0].name
        return len(getattr(self, first))

    def grow(self, series: int) -> None:
        """Have room for so many, at least; what is known stays."""
        have = len(self)
        if series <= have:
            return
        more = max(series, have + have // 4) - have  # by a quarter at least: nodes join one by one
        for each in dataclasses.fields(self):
            setattr(self, each.name, np.concatenate((getattr(self, each.name), _new(each, more))))

    def take(self, rows: Rows) -> Self:
        return type(self)(*[values[rows] for values in self._values()(self)])

    def put(self, rows: Rows, part: Self) -> None:
        """Take back what `take` gave for the same rows."""
        if isinstance(rows, slice):
            return  # `part` was a view
        values = self._values()
        for whole, some in zip(values(self), values(part), strict=True):
            whole[rows] = some

    @classmethod
    @lru_cache(256)
    def _values(cls) -> Callable[[Any], tuple[NDArray[Any], ...]]:
        """What gives all arrays of one, in order of the fields."""
        names = [each.name for each in dataclasses.fields(cls)]
        if len(names) > 1:
            return operator.attrgetter(*names)
        only = operator.attrgetter(names[0])
        return lambda its: (only(its),)

    @classmethod
    def bytes_per_series(cls) -> int:
        return sum(_new(each, 1).nbytes for each in dataclasses.fields(cls))

    def save(self) -> dict[str, bytes]:
        return {each.name: getattr(self, each.name).tobytes() for each in dataclasses.fields(self)}

    @classmethod
    def load(cls, saved: Mapping[str, bytes]) -> Self:
        """From what `save` gave. Raises KeyError or ValueError for what another layout has saved."""
        arrays = {}
        for each in dataclasses.fields(cls):
            flat = np.frombuffer(saved[each.name], each.metadata["dtype"])
            arrays[each.name] = flat.reshape(-1, *each.metadata["shape"]).copy()
        if len({len(array) for array in arrays.values()}) > 1:
            raise ValueError(f"the columns of {cls.__name__} are of different lengths")
        return cls(**arrays)


def _new(field: dataclasses.Field[Any], series: int) -> NDArray[Any]:
    given = field.metadata
    return np.full((series, *given["shape"]), given["initial"], given["dtype"])
