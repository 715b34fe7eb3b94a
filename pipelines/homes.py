"""Where the vector of each text of a run is, or will be made."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.errors import PassingError
from operators.storage import keys
from operators.storage.receipts import RunFolder
from operators.text.source import Unit

pc: Any = pyarrow.compute  # the stubs do not know nulls among indices
Parallel = Callable[[Callable[[int], Any], Sequence[int]], Iterable[Any]]


def homes_uri(folder: RunFolder, bucket: int) -> str:
    """The file of a bucket's homes, one row group a unit."""
    return folder.path("homes", f"{bucket:06d}.parquet")


@dataclass(frozen=True)
class Homes:
    """Where the vectors of a run's texts are: what its workers look up, unit by unit.

    A home below `files` is that file of the parent, at row `at`; from there on it is the unit that
    makes the vector, counted from `files`.
    """

    folder: RunFolder
    buckets: int
    files: int
    only_new: bool
    """Pass on only the first row of each text whose home is the unit itself."""

    def of(self, unit: Unit) -> pa.Table:
        """`hash`, `home`, `at` of each distinct text of a unit."""
        files = [homes_uri(self.folder, bucket) for bucket in range(self.buckets)]
        return keys.read_bucket(files, unit.ordinal, ["hash", "home", "at"]).combine_chunks()

    def prepared(self, homes: pa.Table, unit: Unit, rows: pa.Table, seen: set[int]) -> pa.Table:
        """The rows that a step is to see: those to encode, or all with their homes beside them.

        `seen` remembers over the parts of a unit what was passed on. PassingError for a good row
        that the survey did not find in the unit.
        """
        good = pc.is_null(rows[columns.ERROR.name])
        place = pc.index_in(rows[columns.CONTENT_HASH.name], value_set=homes["hash"].chunk(0))
        if pc.any(pc.and_(good, pc.is_null(place))).as_py():
            problem = "it holds texts that were not there when it was first read; run again"
            raise PassingError(unit.pieces[0].uri, problem)
        place = pc.if_else(good, place, None)
        if not self.only_new:
            home, at = (homes[name].take(place).cast(pa.int64()) for name in ("home", "at"))
            return rows.append_column("home", home).append_column("at", at)
        own = pc.equal(homes["home"].take(place), self.files + unit.ordinal).fill_null(False)
        chosen = np.flatnonzero(own.to_numpy())
        known = place.to_numpy(zero_copy_only=False)[chosen].astype(np.int64)
        _, once = np.unique(known, return_index=True)
        new = [int(n) for n in sorted(once) if int(known[n]) not in seen]
        seen.update(int(known[n]) for n in new)
        return rows.take(pa.array(chosen[new], pa.int64()))

    def units_to_encode(self, units: Sequence[Unit], parallel: Parallel) -> list[Unit]:
        """The units that hold a text whose vector is nowhere yet."""
        wanted = parallel(partial(_makes_any, self, units), range(len(units)))
        return [unit for unit, any_ in zip(units, wanted, strict=True) if any_]


def _makes_any(homes: Homes, units: Sequence[Unit], number: int) -> bool:
    home = homes.of(units[number])["home"].to_numpy()
    return bool((home == homes.files + number).any())
