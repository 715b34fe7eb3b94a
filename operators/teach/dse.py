"""The operator that scores pairs by a small head over stored vectors, fitted on a teacher."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from pydantic import Field
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import whole
from operators.base import STRICT, Resources, Transform
from operators.beside import Around, Beside, pinned
from operators.contract import extend, require
from operators.distil.teachers import fingerprints_of
from operators.encode.space import space_of
from operators.errors import ConfigError, TableError
from operators.quantize.artefact import fetched, packed
from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact
from operators.teach.filling import filled, own_rows
from operators.teach.pair_head import Learning, Order, fit, scores
from operators.teach.protocol import Marks, Scored
from operators.teach.stored import StoredScores
from operators.teach.stored_vectors import dim_of, vectors_by_hash

_FEWEST = 10
"""Distinct queries it learns from at least; every fifth of them says when to stop."""
_MOST = 1 << 16
"""Pairs it learns from at most: those of the smallest ids, which are hashes."""
_NO_VECTOR = "no finite vector of its query or of its document is stored"
_NOT_FITTED = "the head has not learned from a teacher yet; fit it first"


@dataclass(frozen=True, config=STRICT)
class Dse:
    """Add `logit`, what a head over the vectors [u; v; u x v; |u - v|] of a pair says of it.

    It learns from those of the phase's pairs that a teacher has scored, by the squared error, and
    reads no text and no model (Distilled Sentence Embedding, arXiv 1908.05161).
    """

    scores: Beside
    """A table with the logits that it learns."""
    queries: Beside
    """Vectors of the queries, found by the hash of their text."""
    documents: Beside
    """Vectors of the documents."""
    teacher: str = ""
    """Whose logits: a fingerprint, how it begins, a kind or a model; empty is the only one's."""
    order: Order = "one"
    """`both` scores a pair and the pair turned round and takes the mean."""
    hidden: Annotated[int, Field(ge=1)] = 512
    rate: Annotated[float, Field(gt=0)] = 1e-3
    epochs: Annotated[int, Field(ge=0)] = 50
    patience: Annotated[int, Field(ge=1)] = 5
    seed: int = 0
    """Another one fits anew."""
    spaces: str = ""
    """Digest of what made both tables' vectors, set by the plan."""
    taught_by: str = ""
    """Fingerprint of the teacher whose logits it learns, set by the plan."""
    artefact: str = ""
    """URI of `<digest>.safetensors`, what `fit` gave; its digest is identity, its place is not."""
    fingerprint: str = ""
    """What the column `teacher` holds for its rows; set by the plan."""

    name: ClassVar[str] = "dse"
    version: ClassVar[int] = 2
    loads_model: ClassVar[bool] = False
    reads_texts: ClassVar[bool] = False
    aside: ClassVar[frozenset[str]] = frozenset({"scores", "queries", "documents", "fingerprint"})

    @property
    def learns(self) -> bool:
        return True

    @property
    def whole(self) -> bool:
        return False

    @property
    def fitted_as(self) -> str:
        """What a table pins its head by: the fields of the config that shape it."""
        how = [self.version, self.teacher, self.order, self.hidden, self.rate]
        told = json.dumps([*how, self.epochs, self.patience, self.seed])
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    def settled(self, around: Around) -> Self:
        """The tables pinned, and its fingerprint; refuses vectors of unequal dimensions."""
        named = (self.scores, self.queries, self.documents)
        logits, queries, documents = (pinned(each, around.versions) for each in named)
        (taught_by,) = fingerprints_of(logits, _names(self.teacher))
        dims = dim_of(queries), dim_of(documents)
        if dims[0] != dims[1]:
            problem = f"{queries.uri} has vectors of {dims[0]} dimensions, {documents.uri} of "
            raise ConfigError((f"dse: {problem}{dims[1]}; a head takes equal ones",))
        told = json.dumps([space_of(queries), space_of(documents)], sort_keys=True, default=str)
        spaces = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
        step = replace(
            self,
            scores=logits,
            queries=queries,
            documents=documents,
            spaces=spaces,
            taught_by=taught_by,
            fingerprint="",
        )
        if step.artefact:
            step._head()
        return replace(step, fingerprint=around.identify(step))

    def bind(self, schema: pa.Schema) -> pa.Schema:
        needed = (columns.TEACHER, columns.QUERY_HASH, columns.DOC_HASH)
        require(self.name, schema, *needed)
        return extend(schema, columns.LOGIT)

    def fit(self, sample: pa.Table) -> bytes:
        """Learn from the sample's pairs that the teacher has scored and whose vectors are there."""
        pairs = sample.take(own_rows(sample, self.fingerprint)).sort_by("id")
        asked, given = (whole(pairs[name]) for name in ("query_hash", "doc_hash"))
        logits = StoredScores(self.scores.uri, self.scores.version, self.taught_by).of(asked, given)
        known: Any = pa.array(np.flatnonzero(np.isfinite(logits))[:_MOST])
        asked, given, logits = asked.take(known), given.take(known), logits[known]
        queries, documents, there = self._vectors(asked, given)
        group = np.asarray(asked.filter(pa.array(there)).dictionary_encode().indices, np.int64)
        if len(np.unique(group)) < _FEWEST:
            found = f"of {len(pairs)} pairs {there.sum()} have a logit of the teacher and vectors"
            problem = f"{found}, of {len(np.unique(group))} queries; dse learns from {_FEWEST}"
            raise TableError("sample", f"{problem} or more")
        how = Learning(self.hidden, self.rate, self.epochs, self.patience, self.seed, self.order)
        learned = fit(queries[there], documents[there], logits[there], group, how)
        made_of = np.frombuffer(bytes.fromhex(self.spaces), np.uint8)
        taught_by = np.frombuffer(self.taught_by.encode(), np.uint8)
        return packed({**learned, "spaces": made_of, "taught_by": taught_by})

    def told(self, tables: Iterable[pa.Table]) -> dict[str, Any]:
        """The share of the teacher's variance that the head explained on held-out queries."""
        return {"dse": {"explained": float(fetched(self.artefact)["held_out"][0])}}

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        if not self.artefact:
            raise TableError("dse", _NOT_FITTED)
        yield partial(self._score, self._head())

    def _head(self) -> Artefact:
        """What it learned; TableError where that was of other vectors or another teacher."""
        head, problem = fetched(self.artefact), ""
        if head["spaces"].tobytes().hex() != self.spaces:
            problem = "it was fitted on vectors of other models or poolings"
        if "taught_by" in head and head["taught_by"].tobytes().decode() != self.taught_by:
            problem = f"it was fitted on another teacher than {self.taught_by}"
        if problem:
            raise TableError(self.artefact, f"{problem}; `run --refit` fits anew")
        return head

    def _score(self, head: Artefact, table: pa.Table) -> pa.Table:
        rows = own_rows(table, self.fingerprint)
        asked = table.select(["query_hash", "doc_hash"]).take(rows)
        queries, documents, there = self._vectors(*(whole(column) for column in asked.columns))
        logits = scores(queries, documents, head, self.order)
        return filled(table, rows, Scored(logits, ~there, _NO_VECTOR))

    def _vectors(self, asked: pa.Array, given: pa.Array) -> tuple[Matrix, Matrix, Marks]:
        """The vectors of both sides of pairs, and which pairs have both, finite."""
        queries, there = vectors_by_hash(self.queries, asked)
        documents, too = vectors_by_hash(self.documents, given)
        both = there & too
        queries[~both], documents[~both] = 0, 0
        return queries, documents, both


def _names(teacher: str) -> tuple[str, ...]:
    return (teacher,) if teacher else ()
