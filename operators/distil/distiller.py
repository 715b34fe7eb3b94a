"""From mined rows and their teachers' scores to triples with targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.contract import reject
from operators.distil.fuse import FUSIONS, Fused
from operators.distil.lists import Marks, Values
from operators.distil.targets import TARGETS, Known
from operators.distil.triples import (
    Mined,
    Triples,
    put_together,
    schema_of,
    taken_apart,
    without_positive,
)
from operators.errors import TableError

if TYPE_CHECKING:
    from operators.distil.distil import Distil

Scored = Callable[[pa.Array, pa.Array], npt.NDArray[np.float32]]
"""A teacher's score of each (query hash, document hash), NaN where there is none."""

NO_POSITIVE = "the query has no positive"
UNSCORED = "the positive has no teacher score"
NOT_FINITE = "the target is not finite"


@dataclass(frozen=True, eq=False)
class Distiller:
    """An opened `distil`: how it works, and its teachers' scores."""

    how: "Distil"
    teachers: Sequence[Scored]

    def distilled(self, table: pa.Table) -> pa.Table:
        """The triples of mined rows; what has no usable positive or target has an `error`."""
        mined, triples = taken_apart(table)
        raw = self._looked_up(mined)
        unscored = _lacking(raw)[triples.document]
        bad = unscored[triples.lists.firsts]
        triples = triples.only(~unscored | (triples.lists.positions() == 0))
        triples, scores = self._chosen(triples, np.where(np.isnan(raw), 0, raw))
        triples, scores, targets = self._aimed(mined, triples, scores)
        schema = schema_of(self.how.kind)
        given = scores if self.teachers else scores[:0]
        made = put_together(mined, triples, targets, given, schema)
        infinite = ~np.isfinite(targets) | ~np.isfinite(scores)
        made = reject(made, bad, UNSCORED)
        made = reject(made, triples.lists.total(infinite.astype(np.float64)) > 0, NOT_FINITE)
        lonely = without_positive(mined, triples, schema)
        if not len(lonely):
            return made
        lonely = reject(lonely, np.ones(len(lonely), np.bool_), NO_POSITIVE)
        return pa.concat_tables([made, lonely], promote_options="default")

    def _looked_up(self, mined: Mined) -> Values:
        """(teachers, documents): raw scores, NaN where there is none; TableError if it must be."""
        asked = mined.asked("content_hash")
        hashes = mined.documents["hashes"]
        raw = np.empty((len(self.teachers), len(hashes)))
        for place, scored in enumerate(self.teachers):
            raw[place] = scored(asked, hashes)
        lacking = _lacking(raw)
        if self.how.missing == "refuse" and lacking.any():
            one = int(np.flatnonzero(lacking)[0])
            pair = f"{mined.asked('query_id')[one]} and {mined.documents['ids'][one]}"
            problem = f"{lacking.sum()} of {len(lacking)} pairs have no score, such as {pair}"
            hint = "run the scores phase again, or set missing: drop"
            raise TableError(self.how.scores.uri, f"{problem}; {hint}")
        return raw

    def _chosen(self, triples: Triples, raw: Values) -> tuple[Triples, Values]:
        """Without false negatives and with no more than asked; the fused score of each member."""
        scores, order = self._fused(triples, raw)
        if self.how.drop_false is not None:
            kept = ~self.how.drop_false.marks(triples.lists, scores)
            triples, scores = triples.only(kept), scores[kept]
            order = None if order is None else order[kept]
        if not self.how.negatives:
            return triples, scores
        lists = triples.lists
        place = lists.positions()
        if order is not None:
            place[lists.descending(order)] = lists.positions()
        kept = place <= self.how.negatives
        return triples.only(kept), scores[kept]

    def _fused(self, triples: Triples, raw: Values) -> Fused:
        if not self.teachers:
            return Fused(triples.lists.onehot())
        return FUSIONS[self.how.fuse](triples.lists, list(raw[:, triples.document]))

    def _aimed(
        self, mined: Mined, triples: Triples, scores: Values
    ) -> tuple[Triples, Values, Values]:
        """The triples as the target orders them, their scores, and their targets."""
        target = TARGETS[self.how.kind]
        cosines = mined.documents["scores"].to_numpy(zero_copy_only=False).astype(np.float64)
        known = Known(
            scores,
            cosines[triples.document],
            target.temperature if self.how.temperature is None else self.how.temperature,
            target.weight if self.how.weight is None else self.how.weight,
        )
        values = target.of(triples.lists, known)
        if not target.ordered:
            return triples, scores, values
        order = triples.lists.descending(values)
        return triples.ordered(order), scores[order], values[order]


def _lacking(raw: Values) -> Marks:
    """The documents that not every teacher has scored."""
    lacking: Marks = np.logical_or.reduce(np.isnan(raw), axis=0)
    return lacking
