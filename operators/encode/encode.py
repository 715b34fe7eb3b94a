"""Token ids to one vector a row, by any encoder or decoder that transformers knows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import ClassVar, cast

import numpy as np
import pyarrow as pa
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from operators import columns, digest
from operators.arrays import to_ragged
from operators.base import STRICT, Resources, Transform
from operators.contract import assign, extend, reject, require, without
from operators.encode import allocator
from operators.encode.pooled import Pooled
from operators.encode.shape import Pooling, Shape, decide
from operators.encode.strategies import AnyStrategy
from operators.encode.strategy import (
    TAKES,
    AnyEngine,
    Encoding,
    Engine,
    OfDocuments,
    Opening,
    PoolsItself,
    Precision,
    Strategy,
    check_precision,
)
from operators.errors import ContractError, ModelError
from operators.model import Folder, Model, resolve
from operators.text import documents

_NOT_FINITE = "the model gave a vector that is not finite"


@dataclass(frozen=True, config=STRICT)
class Encode:
    """Replace `input_ids` by `embedding`, the pooled last hidden states of `model`."""

    name: ClassVar[str] = "encode"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True

    model: Model
    pooling: Pooling = "auto"
    """auto: as the model's folder says, else mean, or last where attention looks only back."""
    normalize: bool | None = None
    """Vectors of length one; None: as the modules of the model's folder say, else true."""
    precision: Precision = "fp32"
    backend: AnyEngine = "torch"
    """What computes it: torch anywhere; openvino and onnxruntime on CPUs; auto: the fastest of
    those installed, timed on a sample of the source once and pinned to the table."""
    strategy: AnyStrategy | None = None
    """Another way from ids to what is stored of a row; None pools the last hidden states."""

    @model_validator(mode="after")
    def _backend_takes_the_precision(self) -> "Encode":
        check_precision(self.backend, self.precision)
        return self

    @model_validator(mode="after")
    def _strategy_takes_the_rest(self) -> "Encode":
        kind = self._strategy().kind
        if self.backend != "auto" and self.backend not in self._strategy().engines:
            raise ValueError(f"strategy {kind} is not computed by backend {self.backend}")
        if self.pooling != "auto" and isinstance(self.strategy, PoolsItself):
            raise ValueError(f"strategy {kind} pools in a way of its own; leave pooling out")
        return self

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.INPUT_IDS)
        folder = resolve(self.model)
        _check_tokenizer(schema.field("input_ids"), folder)
        shape = self._shape(folder)
        kept = without(schema, "input_ids", "prompt_tokens")
        strategy = self._strategy()
        _check_rows(schema, strategy)
        if isinstance(strategy, OfDocuments):
            kept = documents.fanned(kept)
        require(self.name, kept, *strategy.needs)
        return extend(kept, *strategy.fields(folder, self.model.path, shape))

    @property
    def of_text(self) -> bool:
        """A passage's vector by a strategy of documents is decided by the text around it, too."""
        return not isinstance(self._strategy(), OfDocuments)

    @property
    def undecided(self) -> bool:
        return self.backend == "auto"

    def decided(self, choice: str) -> "Encode":
        return replace(self, backend=cast("Engine", choice))

    def choose(self, sample: pa.Table, on: Resources) -> str:
        """The fastest backend for the sample's ids: torch unless another is clearly faster."""
        from operators.encode.fastest import fastest

        takes = [
            engine for engine in sorted(self._strategy().engines) if self.precision in TAKES[engine]
        ]
        return fastest(takes, self.decided, sample, on)

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        allocator.keep()  # before torch is there
        from operators.encode import device

        folder = resolve(self.model)
        with device.threads(on.threads):
            try:
                place = device.pick(on.device if self.backend == "torch" else "cpu")
            except ValueError as error:
                raise ModelError(self.model.path, str(error)) from error
            opening = Opening(
                folder,
                self.model.path,
                self._shape(folder),
                self.precision,
                place,
                _decided(self.backend),
                on.token_budget,
                on.batches,
            )
            yield partial(_encode, self._strategy().open(opening))

    def _strategy(self) -> Strategy:
        return self.strategy or Pooled()

    def _shape(self, folder: Folder) -> Shape:
        return decide(folder, self.model.path, self.pooling, self.normalize)


def _decided(backend: AnyEngine) -> Engine:
    assert backend != "auto", "the plan decides before a step is opened"
    return backend


def _check_tokenizer(ids: pa.Field, folder: Folder) -> None:
    """ContractError for ids that another tokenizer gave; ids that name none pass."""
    named = (ids.metadata or {}).get(b"corpusmill.tokenizer", b"").decode()
    own = digest.of_file(folder.tokenizer)
    if named and named != own:
        needed = f"ids of the model's own tokenizer ({own[:12]})"
        found = f"those of another ({named[:12]}); name one model in tokenize and encode"
        raise ContractError("encode", "input_ids", needed, found)


def _check_rows(schema: pa.Schema, strategy: Strategy) -> None:
    """ContractError where documents come to a strategy of rows, or the other way round."""
    laid_out = columns.SPANS in schema.names
    if laid_out == isinstance(strategy, OfDocuments):
        return
    found = f"those of documents; encode them with strategy late-chunking, not {strategy.kind}"
    if not laid_out:
        found = "none; put late-passages or late-tree in place of passages and tokenize"
    raise ContractError("encode", columns.SPANS, f"what strategy {strategy.kind} takes", found)


def _encode(encoding: Encoding, table: pa.Table) -> pa.Table:
    from operators.encode.loop import Ragged

    ids, offsets = to_ragged(table["input_ids"])
    prompts = None
    if columns.PROMPT_TOKENS.name in table.column_names:
        prompts = table["prompt_tokens"].to_numpy().astype(np.int32, copy=True)
    dropped: list[str] = [
        name for name in ("input_ids", "prompt_tokens") if name in table.column_names
    ]
    out = table.drop_columns(dropped)
    encoded = encoding(Ragged(ids, offsets, prompts), out)
    if columns.SPANS in out.column_names:
        out = documents.exploded(out)
    for field, values in encoded.columns:
        out = assign(out, field, values)
    return reject(out, encoded.bad, _NOT_FINITE)
