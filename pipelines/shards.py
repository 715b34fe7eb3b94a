"""From a finished parcel to its shard, key sidecar, quarantine file and receipt."""

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.arrays import to_matrix
from operators.measures import whereabouts
from operators.storage import uri as store
from operators.storage.keys import write_keys
from operators.storage.parquet import Shard, write_rows, write_shard
from operators.storage.receipts import Receipt, RunFolder

if TYPE_CHECKING:
    from pipelines.work import Parcel

EMBEDDING = "embedding"


@dataclass(frozen=True)
class Tally:
    """What is counted while rows pass: seconds by step, and the lengths of their vectors."""

    rows_in: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    min_norm: float = math.inf
    max_norm: float = 0.0
    not_finite: int = 0
    tokens: int = 0
    truncated: int = 0
    measured: dict[str, int] = field(default_factory=dict)
    """What the models' loops told of their work."""

    retries: int = 0

    def heard(self, measured: Mapping[str, int]) -> "Tally":
        """Add what a step measured."""
        return replace(self, measured=dict(Counter(self.measured) + Counter(measured)))

    def took(self, step: str, seconds: float) -> "Tally":
        """Add the time of a step."""
        return replace(self, seconds={**self.seconds, step: self.seconds.get(step, 0.0) + seconds})

    def saw(self, table: pa.Table) -> "Tally":
        """Take in the vectors and token counts of the good rows, where the table has them."""
        good = table.filter(pc.is_null(table["error"]))
        tally = self
        if columns.N_TOKENS.name in table.column_names and len(good):
            tally = replace(
                tally,
                tokens=pc.sum(good[columns.N_TOKENS.name]).as_py() or 0,
                truncated=pc.sum(good[columns.TRUNCATED.name]).as_py() or 0,
            )
        if EMBEDDING not in table.column_names or not len(good):
            return tally
        dim = columns.dim_of(table.schema.field(EMBEDDING))
        norms = np.linalg.norm(to_matrix(good[EMBEDDING], dim), axis=1)
        finite = norms[np.isfinite(norms)]
        return replace(
            tally,
            min_norm=float(finite.min(initial=math.inf)),
            max_norm=float(finite.max(initial=0.0)),
            not_finite=int(len(norms) - len(finite)),
        )


def write_receipt(
    folder: RunFolder,
    parcel: "Parcel",
    good: pa.Table,
    bad: pa.Table,
    fingerprint: str,
    buckets: int,
) -> Receipt:
    """Write what a parcel came to and return the receipt that counts (the first attempt's)."""
    clock = time.perf_counter()
    name, tally = parcel.unit, parcel.tally
    shards: tuple[Shard, ...] = ()
    if len(good):
        lineage = {"corpusmill.fingerprint": fingerprint, "corpusmill.unit": name}
        shards = (write_shard(folder.table_uri, folder.run, name, good, lineage),)
        write_keys(folder, name, good, buckets)
    return folder.write_receipt(
        Receipt(
            unit=name,
            shards=shards,
            quarantine=quarantine(folder, name, bad),
            rows_in=tally.rows_in,
            rows_out=len(good),
            tokens=tally.tokens,
            truncated=tally.truncated,
            bad=dict(kinds(bad)),
            min_norm=tally.min_norm if math.isfinite(tally.min_norm) else 0.0,
            max_norm=tally.max_norm,
            not_finite=tally.not_finite,
            seconds=tally.took("write", time.perf_counter() - clock).seconds,
            measured=tally.measured,
            retries=tally.retries,
            worker=whereabouts(),
        )
    )


def quarantine(folder: RunFolder, name: str, bad: pa.Table) -> str:
    """Write a unit's bad rows; their path in the table, "" when there are none."""
    if not len(bad):
        return ""
    path = f"_quarantine/{folder.run}/{name}.parquet"
    write_rows(store.join(folder.table_uri, path), bad)
    return path


def kinds(bad: pa.Table) -> Counter[str]:
    """Bad rows by the kind of their reason: the part before the first colon."""
    counts = pc.value_counts(pc.replace_substring_regex(bad[columns.ERROR.name], "(?s):.*", ""))
    kind, rows = counts.flatten()
    return Counter({str(k): int(n.as_py()) for k, n in zip(kind, rows, strict=True)})
