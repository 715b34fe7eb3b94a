"""Which of the candidates that the rules left become negatives."""

from typing import Annotated, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators.base import STRICT
from operators.mine.case import encoded, place_of, shared
from operators.mine.draws import Draws, document_keys, keys, mixed, uniforms
from operators.mine.pool import Marks, Pairs, Places, Pool


@dataclass(frozen=True, config=STRICT)
class Selection:
    """How many negatives a query gets, from which places, and what happens if there are fewer."""

    negatives: Annotated[int, Field(ge=1)] = 7
    local: Annotated[int, Field(ge=0)] = 0
    """So many more, the nearest from `range_min` on that have the `kind` of one of the query's
    positives, however the others are sampled."""
    range_min: Annotated[int, Field(ge=0)] = 0
    """Nearest candidates skipped, counted among what the rules left."""
    range_max: Annotated[int, Field(ge=0)] = 0
    """Candidates considered, those skipped included, counted among what the rules left; 0: all."""
    sampling: Literal["top", "random", "weighted"] = "top"
    """The nearest, any alike, or by the softmax of score / temperature without replacement."""
    temperature: Annotated[float, Field(gt=0)] = 0.05
    seed: int = 0
    shortage: Literal["fewer", "drop", "random"] = "fewer"
    """With too few left: take them, leave the query out, or fill up with documents at random."""

    @model_validator(mode="after")
    def _range_holds_the_negatives(self) -> "Selection":
        if self.range_max and self.range_max - self.range_min < self.negatives:
            raise ValueError(
                f"range_max {self.range_max} less range_min {self.range_min} leaves no room for "
                f"{self.negatives} negatives; raise range_max"
            )
        return self

    @property
    def most(self) -> int:
        """Negatives that a query gets, local ones included."""
        return self.negatives + self.local

    def depth(self, most_positives: int) -> int:
        """Candidates to search for where a query has up to `most_positives`.

        As `mine_hard_negatives` searches when it has a margin: so deep, the kept sets are equal.
        """
        wanted = self.range_max or self.range_min + 10 * self.most + most_positives
        return wanted + most_positives


class Selected(NamedTuple):
    """What was selected of a pool."""

    kept: Marks
    """One a candidate."""
    short: Marks
    """One a query: fewer were left than asked for, before any filling."""
    out: Marks
    """One a query: left out because it was short."""


def select(left: Pool, query_ids: pa.Array, selection: Selection, positives: Pairs) -> Selected:
    """Choose among the candidates that the rules left, by (seed, query id, document id) alone.

    Of candidates with the same text only the nearest counts. Local negatives come on top of
    the others, from any place behind `range_min` (U-MARVEL has five of either). Documents drawn at
    random (no source) serve to fill up only, in the order of their ranks.
    """
    first = _first_of_its_text(left)
    proposed = first & (left.sources != 0)
    place = _places(left, proposed)
    behind = proposed & (place >= selection.range_min)
    inside = behind & (place < selection.range_max) if selection.range_max else behind
    order = _order(left, query_ids, selection)
    kept = _best(left, inside, order, selection.negatives)
    if selection.local:
        alike = shared(left, positives, encoded(left.documents["kind"]))
        kept |= _best(left, behind & alike & ~kept, _nearest(left), selection.local)
    counts = np.bincount(left.query[kept], minlength=left.queries)
    short: Marks = counts < selection.most
    out = short & (selection.shortage == "drop")
    if selection.shortage == "random":
        spare = first & (left.sources == 0)
        kept |= spare & (_places(left, spare) + counts[left.query] < selection.most)
    return Selected(kept & ~out[left.query], short, out)


def _first_of_its_text(pool: Pool) -> Marks:
    """The nearest candidate of each text of each query; a document without hash is its own text."""
    hashes = encoded(pool.documents["content_hash"])
    texts = np.where(hashes < 0, len(hashes) + np.arange(len(hashes)), hashes)
    _, first = np.unique(
        pool.query * (2 * len(hashes) + 1) + texts[pool.document], return_index=True
    )
    marks = np.zeros(len(pool), np.bool_)
    marks[first] = True
    return marks


def _places(pool: Pool, marked: Marks) -> Places:
    """How many marked candidates of the query come before each."""
    before: Places = np.cumsum(marked) - marked
    start = np.searchsorted(pool.query, np.arange(pool.queries))
    total = np.append(before, np.count_nonzero(marked))
    places: Places = before - total[start][pool.query]
    return places


def _order(pool: Pool, query_ids: pa.Array, selection: Selection) -> Draws:
    """A number for each candidate; the smallest are taken."""
    if selection.sampling == "top":
        return _nearest(pool)
    query = keys(query_ids, selection.seed, "select")
    document = document_keys(pool.documents["id"], pool.document)
    drawn = uniforms(mixed(query[pool.query], document))
    if selection.sampling == "random":
        return drawn
    gumbel = -np.log(-np.log(drawn))
    order: Draws = -(pool.score.astype(np.float64) / selection.temperature + gumbel)
    return order


def _nearest(pool: Pool) -> Draws:
    return np.arange(len(pool), dtype=np.float64)


def _best(pool: Pool, inside: Marks, order: Draws, count: int) -> Marks:
    """The `count` first by `order` of those inside, for each query."""
    found = np.flatnonzero(inside)
    found = found[np.lexsort((order[found], pool.query[found]))]
    marks = np.zeros(len(pool), np.bool_)
    marks[found[place_of(pool.query[found]) < count]] = True
    return marks
