"""Rankings of several sources made one, with who proposed what."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from pydantic.dataclasses import dataclass as checked

from operators.base import STRICT
from operators.mine.case import place_of
from operators.mine.pool import Places, Pool, Scores

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranked:
    """What one source found: (q, k) rows of the documents table, nearest first, -1 for none."""

    documents: Places
    scores: Scores
    """(q, k)."""


@checked(frozen=True, config=STRICT)
class Fusion:
    """How the rankings of several sources become one; a single source keeps its order."""

    method: Literal["rrf", "minmax", "zscore"] = "rrf"
    """Weighted sum of 1 / (k + rank) with ranks from 1, or of scores scaled for each query."""
    weights: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """One a source, all 1 by default."""
    k: Annotated[float, Field(gt=0)] = 60.0
    depth: Annotated[int, Field(ge=0)] = 0
    """Candidates kept for each query after fusion; 0 keeps all."""


def fuse(ranked: Sequence[Ranked], documents: pa.Table, fusion: Fusion) -> Pool:
    """One pool of all sources' candidates, ties by id.

    The score is that of the first source, NaN for what only others propose: the caller, who has
    the vectors, completes it. ValueError where there are not as many weights as sources.
    """
    weights = fusion.weights or (1.0,) * len(ranked)
    if len(weights) != len(ranked):
        raise ValueError(f"{len(weights)} weights for {len(ranked)} sources; give one a source")
    width = max(len(documents), 1)
    lists = [_listed(source, width) for source in ranked]
    pairs, group = np.unique(np.concatenate([found.pair for found in lists]), return_inverse=True)
    values = [
        weight * _value(found, width, fusion) for weight, found in zip(weights, lists, strict=True)
    ]
    if len(ranked) == 1:  # its order, even where scores are equal
        values = [-lists[0].rank.astype(np.float64)]
    total = np.bincount(group, np.concatenate(values), minlength=len(pairs))
    score, sources = np.full(len(pairs), np.nan, np.float32), np.zeros(len(pairs), np.int64)
    for number, places in enumerate(_split(group, lists)):
        sources[places] |= 1 << number
        if not number:
            score[places] = lists[0].score
    query, document = np.divmod(pairs, width)
    order = np.lexsort((_by_id(documents)[document], -total, query))
    rank = place_of(query)  # the order leaves the queries where they are
    pool = Pool(
        queries=len(ranked[0].documents),
        query=query,
        document=document[order],
        score=score[order],
        rank=rank,
        sources=sources[order],
        documents=documents,
    )
    return pool.only(rank < fusion.depth) if fusion.depth else pool


def filled(pool: Pool, drawn: Places) -> Pool:
    """Add (q, m) documents drawn at random after a query's own, without score or source.

    -1 stands for none; what the pool has already, or what is drawn twice, is not added.
    """
    width = max(len(pool.documents), 1)
    found = _listed(Ranked(drawn, np.zeros(drawn.shape, np.float32)), width)
    new = ~np.isin(found.pair, pool.query * width + pool.document)
    query, document = np.divmod(found.pair[new], width)
    own = np.bincount(pool.query, minlength=pool.queries)
    rank = own[query] + place_of(query)
    order = np.lexsort((np.concatenate([pool.rank, rank]), np.concatenate([pool.query, query])))
    return replace(
        pool,
        query=np.concatenate([pool.query, query])[order],
        document=np.concatenate([pool.document, document])[order],
        score=np.concatenate([pool.score, np.full(len(query), np.nan, np.float32)])[order],
        rank=np.concatenate([pool.rank, rank])[order],
        sources=np.concatenate([pool.sources, np.zeros(len(query), np.int64)])[order],
    )


def proposers(sources: Places, names: Sequence[str]) -> pa.Array:
    """Who proposed each candidate: the sources' names joined by "+", or "random"."""
    found, place = np.unique(sources, return_inverse=True)
    told = [
        "+".join(name for bit, name in enumerate(names) if bits >> bit & 1) or "random"
        for bits in map(int, found)
    ]
    return pa.array(np.array(told, np.object_)[place], pa.string())


class _Listed(NamedTuple):
    """A source's candidates by query and rank, each pair once."""

    pair: Places
    """query x width + document."""
    rank: Places
    score: Scores


def _listed(source: Ranked, width: int) -> _Listed:
    query, column = np.nonzero(source.documents >= 0)
    pair = query * width + source.documents[query, column]
    first = np.sort(np.unique(pair, return_index=True)[1])
    pair, score = pair[first], source.scores[query, column][first]
    return _Listed(pair, place_of(pair // width), score)


def _value(found: _Listed, width: int, fusion: Fusion) -> Weights:
    """What a source says for each of its candidates; nothing is said, 0, for any other.

    Scores are taken from the lowest of the query's list, in multiples of their spread, so that
    the last of a list is worth as much as what is not in it; equal scores are worth 1.
    """
    if fusion.method == "rrf":
        reciprocal: Weights = 1 / (fusion.k + found.rank + 1)
        return reciprocal
    query = found.pair // width
    if not len(query):
        return np.zeros(0)
    start = np.flatnonzero(np.diff(query, prepend=-1))
    group = np.cumsum(np.diff(query, prepend=-1) > 0) - 1
    finite = np.isfinite(found.score)
    score = found.score.astype(np.float64)
    low = np.minimum.reduceat(np.where(finite, score, np.inf), start)
    low = np.where(np.isfinite(low), low, 0)
    above = np.where(finite, score - low[group], 0)
    if fusion.method == "minmax":
        spread = np.maximum.reduceat(above, start)
    else:
        count = np.add.reduceat(np.ones(len(above)), start)
        mean = np.add.reduceat(above, start) / count
        spread = np.sqrt(np.add.reduceat((above - mean[group]) ** 2, start) / count)
    alike = (spread == 0)[group]
    value: Weights = np.where(alike, 1, above / np.where(alike, 1, spread[group]))
    return value


def _split(group: Places, lists: Sequence[_Listed]) -> list[Places]:
    stops = np.cumsum([len(found.pair) for found in lists])
    return np.split(group, stops[:-1])


def _by_id(documents: pa.Table) -> Places:
    """The place of each document in the order of ids."""
    order = pc.sort_indices(documents["id"]).to_numpy()
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places
