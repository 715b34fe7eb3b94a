"""The operator that takes vectors from one model's space to another's, by a fitted map."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import pyarrow as pa
from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.adapt.lengths import unit_length
from operators.adapt.protocol import SpaceMap
from operators.adapt.registry import MAPS, map_class
from operators.arrays import to_column
from operators.base import STRICT, Resources, Transform
from operators.contract import assign, extend, reject, without
from operators.errors import ContractError, TableError
from operators.quantize.artefact import fetched
from operators.quantize.codes import decoded
from operators.quantize.finest import CODED, dim_of, finest
from operators.quantize.protocol import Artefact
from operators.storage.uri import absolute

NOT_FINITE = "the vector is not finite"
_ANYWHERE = Resources()


@dataclass(frozen=True, config=STRICT)
class Adapt:
    """Replace a row's vector by `embedding`, its image in another space, at length one.

    Takes `embedding`, else `codes` or `bits`, and drops the codes. `corpusmill compat` fits maps.
    """

    scheme: Annotated[str, Field(json_schema_extra={"enum": sorted(MAPS)})]
    artefact: Annotated[str, Field(min_length=1), AfterValidator(absolute)]
    """URI of `<digest>.safetensors`, the fitted map; its digest is identity, its place is not."""

    name: ClassVar[str] = "adapt"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    of_text: ClassVar[bool] = True

    @model_validator(mode="after")
    def _scheme_is_known(self) -> "Adapt":
        map_class(self.scheme)
        return self

    def bind(self, schema: pa.Schema) -> pa.Schema:
        found = finest(self.name, schema)
        taken, given = self._dims(fetched(self.artefact))
        dim = dim_of(self.name, found)
        if dim != taken:
            needed = f"vectors of {taken} dimensions, as the map {self.artefact} takes them"
            raise ContractError(self.name, found.name, needed, f"vectors of {dim}")
        return extend(without(schema, *CODED), columns.embedding(given))

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        artefact = fetched(self.artefact)
        self._dims(artefact)
        yield partial(self._apply, map_class(self.scheme)(), artefact)

    def _apply(self, by: SpaceMap, artefact: Artefact, table: pa.Table) -> pa.Table:
        matrix = decoded(table, finest(self.name, table.schema).name)
        finite = np.isfinite(matrix.sum(axis=1, dtype=np.float64))
        matrix = np.where(finite[:, None], matrix, np.float32(0))
        mapped = unit_length(by.apply(matrix, artefact))
        kept = table.drop_columns([name for name in CODED if name in table.column_names])
        out = assign(kept, columns.embedding(mapped.shape[1]), to_column(mapped))
        return reject(out, ~finite, NOT_FINITE)

    def _dims(self, artefact: Artefact) -> tuple[int, int]:
        try:
            return map_class(self.scheme)().dims(artefact)
        except (KeyError, ValueError) as error:
            problem = f"it holds {', '.join(sorted(artefact))}, which is no {self.scheme} map"
            raise TableError(self.artefact, problem) from error
