"""The operator that codes vectors, by whichever scheme its config names."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial, reduce
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import to_matrix
from operators.base import STRICT, Resources, Transform
from operators.contract import extend, reject, require, without
from operators.errors import ContractError, TableError
from operators.quantize import artefact as learned
from operators.quantize.kernels import Matrix
from operators.quantize.prefix import prefix
from operators.quantize.protocol import Artefact, Reduces, Scheme
from operators.quantize.registry import SCHEMES, scheme_class

NOT_FINITE = "the vector is not finite"
_ANYWHERE = Resources()
_OPTIONS = ("center", "blocks", "stages", "nbits", "seed")
"""Fields that are options of schemes; None leaves a scheme its default."""


@dataclass(frozen=True, config=STRICT)
class Quantize:
    """Code `embedding` by a scheme; the floats go unless kept or rounded in place.

    Needs `embedding: list<float>` whose metadata says its dimensions.
    """

    scheme: Annotated[str, Field(json_schema_extra={"enum": sorted(SCHEMES)})] = "int8"
    center: Literal["zero", "median"] | None = None
    """Where `binary` cuts a dimension: at zero, its default, or at the median of a sample."""
    dims: Annotated[int, Field(ge=1)] | None = None
    """Cut vectors to their first dimensions before they are coded, whatever the scheme."""
    blocks: Annotated[int, Field(ge=1)] | None = None
    """Bytes of a `pq` or `opq` row: equal blocks of dimensions; by default one for 8 dimensions."""
    stages: Annotated[int, Field(ge=1)] | None = None
    """Bytes of an `rvq` row; 8 by default."""
    nbits: Annotated[int, Field(ge=1, le=8)] | None = None
    """Bits that `residual-codec` has for a value; 2 by default."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Where a learned scheme's draws begin; 0 by default."""
    keep_embedding: bool = False
    artefact: str = ""
    """URI of `<digest>.safetensors`, what `fit` gave; its digest is identity, its place is not."""

    name: ClassVar[str] = "quantize"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = True

    @model_validator(mode="after")
    def _scheme_takes_the_options(self) -> "Quantize":
        allowed = scheme_class(self.scheme).__dataclass_fields__  # type: ignore[attr-defined]  # every scheme is a dataclass
        for option in self._options():
            if option not in allowed:
                raise ValueError(f"scheme {self.scheme!r} has no option {option!r}")
        if self.scheme == "truncate" and self.dims is None:
            raise ValueError("scheme 'truncate' needs 'dims', how many dimensions stay")
        return self

    @property
    def aside(self) -> frozenset[str]:
        """Options left to their defaults; `center` counts either way, as when it was alone."""
        return frozenset(name for name in ("dims", *_OPTIONS[1:]) if getattr(self, name) is None)

    @property
    def learns(self) -> bool:
        return self._scheme().learns

    def bind(self, schema: pa.Schema) -> pa.Schema:
        bound = self._bound(schema)
        dim = self._kept(_dim(schema))
        learned.check_taken(self.name, "embedding", self._scheme(), dim, self.artefact)
        return bound

    def _bound(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, columns.embedding(0))
        whole = _dim(schema)
        added = self._scheme().fields(self._kept(whole), learned.named_digest(self.artefact))
        _check_own(schema, added)
        before = columns.truncated_from(schema.field("embedding"))
        if before or self.dims is not None:
            added = [columns.truncated(added[0], before or whole), *added[1:]]
        stays = self.keep_embedding or any(field.name == "embedding" for field in added)
        return extend(schema if stays else without(schema, "embedding"), *added)

    def fit(self, sample: pa.Table) -> bytes:
        """Learn from a sample's finite vectors; safetensors bytes, b"" if nothing is learned."""
        finite = self._finite(sample)
        if self.learns and not len(finite):
            raise TableError("sample", f"{self.scheme} has no finite vector to learn from")
        return learned.packed(self._scheme().fit(finite))

    @property
    def reduces(self) -> bool:
        return isinstance(self._scheme(), Reduces)

    def partial(self, part: pa.Table) -> bytes:
        finite, scheme = self._finite(part), self._scheme()
        assert isinstance(scheme, Reduces)
        return learned.packed(scheme.partial(finite)) if len(finite) else b""

    def merged(self, states: Sequence[bytes]) -> bytes:
        scheme = self._scheme()
        assert isinstance(scheme, Reduces)
        known = [_state(state) for state in states if state]
        return learned.packed(reduce(scheme.merge, known)) if known else b""

    def finished(self, state: bytes) -> bytes:
        """TableError where no row had a finite vector."""
        scheme = self._scheme()
        assert isinstance(scheme, Reduces)
        if not state:
            raise TableError("source", f"{self.scheme} has no finite vector to learn from")
        return learned.packed(scheme.finish(_state(state)))

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        scheme = self._scheme()
        if scheme.learns and not self.artefact:
            problem = f"scheme {self.scheme} learns from a sample and has no artefact; fit it first"
            raise TableError("quantize", problem)
        yield partial(self._apply, scheme, learned.fetched(self.artefact))

    def _apply(self, scheme: Scheme, artefact: Artefact, table: pa.Table) -> pa.Table:
        matrix = to_matrix(table["embedding"], _dim(table.schema))
        finite = np.isfinite(matrix).all(axis=1)
        if not finite.all():
            matrix = np.where(finite[:, None], matrix, np.float32(0))
        coded = scheme.apply(prefix(matrix, self._kept(matrix.shape[1])), artefact)
        bound = self._bound(table.schema)
        given = [coded[name] if name in coded else table[name] for name in bound.names]
        return reject(pa.table(given, schema=bound), ~finite, NOT_FINITE)

    def _finite(self, sample: pa.Table) -> Matrix:
        """The sample's vectors as the scheme is given them, those that are not finite left out."""
        matrix: Matrix = to_matrix(sample["embedding"], _dim(sample.schema))
        finite = matrix[np.isfinite(matrix).all(axis=1)]
        return prefix(finite, self._kept(matrix.shape[1]))

    def _kept(self, whole: int) -> int:
        """How many dimensions stay of so many."""
        if self.dims is None or self.dims <= whole:
            return self.dims or whole
        needed, found = f"{self.dims} dimensions or more", f"vectors of {whole}"
        raise ContractError(self.name, "embedding", needed, found)

    def _scheme(self) -> Scheme:
        return scheme_class(self.scheme)(**self._options())

    def _options(self) -> dict[str, str | int]:
        return {name: getattr(self, name) for name in _OPTIONS if getattr(self, name) is not None}


def _state(data: bytes) -> dict[str, npt.NDArray[Any]]:
    return dict(learned.unpacked(data, learned.digest_of(data), "state"))


def _check_own(schema: pa.Schema, added: list[pa.Field]) -> None:
    """ContractError where codes would replace another scheme's, or a column of the source."""
    for field in added:
        if field.name in schema.names and field.name != "embedding":
            by = columns.decoder_of(schema.field(field.name))[0]
            there = f"{field.name} by {by} already" if by else f"{field.name} already"
            found = f"{there}; a table holds one column of codes and one of bits"
            raise ContractError("quantize", field.name, "a column of its own", found)


def _dim(schema: pa.Schema) -> int:
    try:
        return columns.dim_of(schema.field("embedding"))
    except KeyError as error:
        needed, found = "a vector whose metadata says its dimensions", "no 'corpusmill.dim' there"
        raise ContractError("quantize", "embedding", needed, found) from error
