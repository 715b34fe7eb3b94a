"""The rows that a step scores, and the logits it gives them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

from operators import columns
from operators.arrays import whole
from operators.contract import assign, reject
from operators.teach.protocol import Marks, Scored

pc: Any = pyarrow.compute  # the stubs know neither every function nor arrays as masks

Rows = npt.NDArray[np.int64]

_NOT_FINITE = "the teacher gave a logit that is not finite"


def own_rows(table: pa.Table, fingerprint: str) -> Rows:
    """The rows whose `teacher` it is."""
    own = pc.equal(table["teacher"], fingerprint).fill_null(False).to_numpy()
    rows: Rows = np.flatnonzero(own)
    return rows


def filled(table: pa.Table, rows: Rows, scored: Scored) -> pa.Table:
    """The table with the logits of those rows; the others keep theirs, the unfit are rejected."""
    finite = np.isfinite(scored.logits)
    logits = np.full(len(table), np.nan, np.float32)
    logits[rows] = np.where(finite & ~scored.unfit, scored.logits, np.nan)
    fresh: pa.Array = pa.array(logits, mask=~np.isfinite(logits))
    if columns.LOGIT.name in table.column_names:
        own = pa.array(_marks(len(table), rows))
        fresh = whole(pc.if_else(own, fresh, table["logit"]))
    out = assign(table, columns.LOGIT, fresh)
    out = reject(out, _marks(len(table), rows[scored.unfit]), scored.reason)
    return reject(out, _marks(len(table), rows[~finite & ~scored.unfit]), _NOT_FINITE)


def _marks(size: int, rows: Rows) -> Marks:
    marks = np.zeros(size, np.bool_)
    marks[rows] = True
    return marks
