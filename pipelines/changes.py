"""The new version against the last: later rows of an id, what came and went, what is rewritten."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.storage import keys
from operators.storage import uri as store
from operators.storage.parquet import Shard, read_shard, shard_metadata, write_rows, write_shard
from operators.storage.receipts import Receipt
from pipelines.duplicates import REASON, as_bad, before_amending, parts_of, settle
from pipelines.gather import FAILED
from pipelines.homes import Parallel
from pipelines.merging import part_of
from pipelines.survey import Survey, staying

_OLD = ("high", "low", "row", "content_high", "content_low", "file", "place", "stays")
_NEW = _OLD[:-1]


@dataclass(frozen=True)
class Bucket:
    """What one bucket of ids came to."""

    new_losers: pa.Table
    """`unit` and `row` of rows just written whose id an earlier row has, `to_unit` and `to_row`.

    The latter are the first row of that id, null where that one was there before.
    """
    old_losers: pa.Table
    """`file` and `row` of rows that were to stay and whose id an earlier row has."""
    added: int
    changed: int
    deleted: int


@dataclass(frozen=True)
class Changes:
    """What the ids of both versions came to."""

    receipts: dict[str, Receipt]
    added: int
    changed: int
    deleted: int
    doubled: dict[int, npt.NDArray[np.int64]]
    """Rows of the parent's files, by file, that stay no longer: an earlier row has their id."""


def find_changes(survey: Survey, receipts: Mapping[str, Receipt], parallel: Parallel) -> Changes:
    """Join the ids of the parent and of what was written; amend receipts of later rows of an id."""
    first = before_amending(survey.job.folder, receipts)
    join = _Join(survey, tuple(parts_of(first)))
    found: list[Bucket] = list(parallel(join, range(survey.job.buckets)))
    losers = pa.concat_tables([bucket.new_losers for bucket in found])
    amended = settle(survey.job, first, receipts, losers, parallel)
    old = pa.concat_tables([bucket.old_losers for bucket in found])
    file, row = old["file"].to_numpy(), old["row"].to_numpy()
    return Changes(
        receipts={name: amended.get(name, receipt) for name, receipt in receipts.items()},
        added=sum(bucket.added for bucket in found),
        changed=sum(bucket.changed for bucket in found),
        deleted=sum(bucket.deleted for bucket in found),
        doubled={int(n): row[file == n] for n in np.unique(file)},
    )


@dataclass(frozen=True)
class _Join:
    survey: Survey
    parts: tuple[str, ...]

    def __call__(self, bucket: int) -> Bucket:
        survey, folder = self.survey, self.survey.job.folder
        files = [survey.before(n) for n in range(len(survey.parent.files))]
        old = keys.read_bucket(files, bucket, _OLD)
        new = keys.read_bucket([keys.keys_uri(folder, part) for part in self.parts], bucket, _NEW)
        stays = old["stays"].to_numpy()
        key = np.concatenate([keys.key_halves(old)[stays], keys.key_halves(new)])
        order = np.lexsort((*_places(old.filter(pa.array(stays)), new), key[:, 1], key[:, 0]))
        again = keys.same_as_before(key[order])
        kept, losers = order[~again], np.sort(order[again])
        count = int(stays.sum())
        origin, row = old["origin"].to_numpy()[stays], old["row"].to_numpy()[stays]
        lost = losers[losers < count]
        late = losers[losers >= count] - count
        first = keys.first_of_each(order, again)[losers[losers >= count]] - count
        content = np.concatenate([_content(old)[stays], _content(new)])
        return Bucket(
            pa.table({**self._rows(new, late), **_to(self._rows(new, first))}),
            pa.table({"file": origin[lost], "row": row[lost]}),
            *_compared(keys.key_halves(old), _content(old), key[kept], content[kept]),
        )

    def _rows(self, new: pa.Table, rows: npt.NDArray[np.int64]) -> dict[str, Any]:
        """Unit and row of rows just written; null for what is none, a negative number."""
        place: Any = pa.array(rows, mask=rows < 0)
        units = pa.array(self.parts, pa.string())
        return {"unit": units.take(new["origin"].take(place)), "row": new["row"].take(place)}


def _to(first: dict[str, Any]) -> dict[str, Any]:
    return {f"to_{name}": column for name, column in first.items()}


def _places(old: pa.Table, new: pa.Table) -> tuple[npt.NDArray[np.int64], ...]:
    """What orders rows of one id, the least first: row within its source file, then the file."""
    if "file" not in new.column_names or "file" not in old.column_names:
        rows = len(old) + len(new)
        return (np.arange(rows),)
    file = pa.concat_arrays([*old["file"].chunks, *new["file"].chunks, pa.array([], pa.string())])
    coded = file.dictionary_encode()
    rank = pc.rank(coded.dictionary).to_numpy().astype(np.int64)
    place = np.concatenate([old["place"].to_numpy(), new["place"].to_numpy()])
    return place, rank[coded.indices.to_numpy()]


def _content(table: pa.Table) -> keys.Keys:
    return keys.key_halves(table, "content_high", "content_low")


def _compared(
    old: keys.Keys, old_content: keys.Keys, new: keys.Keys, new_content: keys.Keys
) -> tuple[int, int, int]:
    """How many ids came, have another content, and went; each id is once on either side."""
    both = np.concatenate([old, new])
    order = np.lexsort((both[:, 1], both[:, 0]))  # stable: the old one of an id comes first
    again = keys.same_as_before(both[order])
    pairs = np.flatnonzero(again)
    content = np.concatenate([old_content, new_content])[order]
    changed = int((content[pairs] != content[pairs - 1]).any(axis=1).sum())
    return len(new) - len(pairs), changed, len(old) - len(pairs)


@dataclass(frozen=True)
class Rewriting:
    """Writes files of the parent without the rows that do not stay."""

    survey: Survey
    doubled: Mapping[int, npt.NDArray[np.int64]]

    def __call__(self, number: int) -> tuple[Shard | None, str]:
        """The file that takes the place of one, and the quarantine file of its later rows."""
        job, file = self.survey.job, self.survey.parent.files[number]
        rows = read_shard(job.table, file.path)
        stays = staying(rows, self.survey.parent.touched)
        later = self.doubled.get(number, np.empty(0, np.int64))
        stays[later] = False
        bad = ""
        if len(later):
            bad = f"_quarantine/{job.run}/file-{number:06d}.parquet"
            write_rows(store.join(job.table, bad), as_bad(rows.take(later)))
        if not stays.any():
            return None, bad
        kept, notes = rows.filter(pa.array(stays)), shard_metadata(file.uri)
        name = part_of(Shard(file.path, file.rows, file.size, "")) or f"file-{number:06d}"
        return write_shard(job.table, job.run, name, kept, notes), bad


def carried(survey: Survey, files: Sequence[str]) -> str:
    """Write the bad rows of source files that were not read again; the file's path, "" for none.

    `files` are the parent's quarantine files. Of rows that others made bad there are none among
    them: a source file that holds such a row is read again every time.
    """
    job, touched = survey.job, survey.parent.touched
    found = [read_shard(job.table, path) for path in files] if touched is not None else []
    kept = [rows.filter(pa.array(staying(rows, touched))) for rows in found]
    if not sum(map(len, kept)):
        return ""
    path = f"_quarantine/{job.run}/carried.parquet"
    write_rows(store.join(job.table, path), pa.concat_tables(kept))
    return path


def files_with_dependents(table: str, quarantine: Sequence[str]) -> set[str]:
    """The source files with a bad row that others made bad, told by quarantine files.

    Such are a later row of an id, and a row whose text failed where it was encoded.
    """
    found: set[str] = set()
    for path in quarantine:
        rows = read_shard(table, path, [columns.SOURCE_FILE.name, columns.ERROR.name])
        error = rows[columns.ERROR.name]
        named = rows.filter(pc.or_(pc.starts_with(error, REASON), pc.starts_with(error, FAILED)))[
            columns.SOURCE_FILE.name
        ]
        found |= {str(name) for name in named.to_pylist()}
    return found
