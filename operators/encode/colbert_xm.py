"""A vector for every token, with adapters of the row's language (TECHNIQUES `colbert-xm`)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns, families
from operators.arrays import whole
from operators.base import STRICT
from operators.encode import languages, punctuation
from operators.encode.languages import Numbered
from operators.encode.shape import Shape
from operators.encode.strategy import Encoded, Encoding, Opening, cut
from operators.errors import ConfigError, ModelError
from operators.model import Folder

if TYPE_CHECKING:
    from operators.encode.loop import Loop, Ragged
    from operators.encode.rows import Marks
    from operators.encode.token_vectors import Collected

_MARKERS = {"query": "[unused0]", "passage": "[unused1]"}
_MASKS = ("[MASK]", "<mask>")


@dataclass(frozen=True, config=STRICT)
class ColbertXm:
    """Add `token_vectors`: each token's state through the folder's `linear.weight`, length one.

    The folder is a ColBERT: an encoder's weights and `linear.weight`, (values, width) without
    bias. A query has exactly `query_tokens` tokens, filled up with mask tokens that are attended
    and kept; a passage loses the vectors of its punctuation, after they were seen.
    """

    engines: ClassVar[frozenset[str]] = frozenset({"torch"})
    own_pooling: ClassVar[bool] = True
    aside: ClassVar[frozenset[str]] = frozenset({"query_marker"})
    one_sided: ClassVar[frozenset[str]] = frozenset(
        {"role", "query_tokens", "marker", "query_marker", "punctuation", "share"}
        | {"language", "languages"}
    )

    kind: Literal["colbert-xm"] = "colbert-xm"
    role: Literal["passage", "query"] = "passage"
    query_tokens: Annotated[int, Field(ge=4)] = 32
    marker: str | None = None
    """The token behind the first one; None is [unused0] for queries and [unused1] for passages,
    empty is none."""
    query_marker: str | None = None
    """Of passages: the marker of the queries by which their table is searched; no vector of
    theirs depends on it."""
    punctuation: Literal["dropped", "kept"] = "dropped"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of a passage's vectors how many are kept: the means of clusters of those that are alike."""
    language: str = ""
    """The adapters of every row; empty goes by the column `lang`; none for a model without any."""
    languages: dict[str, str] = Field(default_factory=dict)
    """Adapters for languages that have none of their own, by what the column calls them."""

    @model_validator(mode="after")
    def _a_query_has_one_marker(self) -> "ColbertXm":
        if self.role == "query" and self.query_marker is not None:
            raise ValueError("query_marker is for passages; the marker of a query is `marker`")
        return self

    @property
    def needs(self) -> tuple[pa.Field, ...]:
        """`truncated`, and `lang` where rows differ in it."""
        return (columns.TRUNCATED,) if self.language else (columns.TRUNCATED, columns.LANG)

    def of_queries(self) -> "ColbertXm":
        if self.role == "query":
            return self
        known = self.marker in (None, "", _MARKERS["passage"])
        if self.query_marker is None and not known:
            problem = f"its passages have the marker {self.marker!r}; name that of queries as well"
            raise ConfigError((f"encode, strategy {self.kind}: {problem}, as query_marker",))
        own = "" if self.marker == "" else None
        marker = own if self.query_marker is None else self.query_marker
        return replace(self, role="query", marker=marker, query_marker=None)

    def fields(self, folder: Folder, model: str, shape: Shape) -> list[pa.Field]:
        languages.check(folder, model, self.language, self.languages)
        self._tokens(folder, model)
        if self.query_marker is not None:
            self.of_queries()._tokens(folder, model)
        held = families.positions(folder.config)
        limited = self.role == "query" and folder.model_type in families.TABLE_POSITIONS
        if limited and 0 < held < self.query_tokens:
            problem = f"has positions for {held} tokens, and query_tokens is {self.query_tokens}"
            raise ModelError(model, problem)
        return [columns.token_vectors(_dim(folder, model)), columns.TRUNCATED]

    def open(self, opening: Opening) -> Encoding:
        from operators.encode import probe, token_vectors
        from operators.encode.loop import Loop

        network = token_vectors.opened(opening, adapters=self.language != "none")
        probe.check_vectors(opening.folder, token_vectors.Mean(network))
        return self.encoding(opening, Loop(network, opening.budget))

    def encoding(self, opening: Opening, loop: "Loop") -> Encoding:
        """The encoding by a network that is there already, for one of both roles."""

        def encode(rows: "Ragged", table: pa.Table) -> Encoded:
            collected, numbers, shorter = self.collected(opening, loop, rows, table)
            return cut(collected.encoded(numbers.unknown), table, shorter)

        return encode

    def collected(
        self, opening: Opening, loop: "Loop", rows: "Ragged", table: pa.Table
    ) -> tuple["Collected", Numbered, "Marks"]:
        """The rows' vectors, the adapters they went through, and which rows were cut."""
        from operators.encode import token_vectors

        dropped = punctuation.ids(opening.folder) if self._drops else np.zeros(0, np.int32)
        rows, shorter = self._marked(rows, opening)
        numbers = self._numbers(opening.folder, table)
        kept = ~np.isin(rows.ids, dropped)
        found = token_vectors.collected(loop, rows, numbers.numbers, kept)
        if self.share < 1 and self.role == "passage":
            found = found.pooled(self.share)
        return found, numbers, shorter

    @property
    def _drops(self) -> bool:
        return self.role == "passage" and self.punctuation == "dropped"

    def _numbers(self, folder: Folder, table: pa.Table) -> Numbered:
        if self.language:
            return languages.alike(folder, self.language, len(table))
        return languages.numbered(folder, whole(table[columns.LANG.name]), self.languages)

    def _tokens(self, folder: Folder, model: str) -> tuple[int, int]:
        """The ids of the marker and of the mask, -1 for none; ModelError where one lacks."""
        known = punctuation.vocabulary(folder)
        marker = _MARKERS[self.role] if self.marker is None else self.marker
        if marker and marker not in known:
            problem = f"has no token {marker!r}; name as 'marker' what it was trained with, or ''"
            raise ModelError(model, problem)
        mask = next((known[each] for each in _MASKS if each in known), -1)
        if mask < 0 and self.role == "query":
            raise ModelError(model, "has no mask token, with which queries are filled up")
        return known[marker] if marker else -1, mask

    def _marked(self, rows: "Ragged", opening: Opening) -> tuple["Ragged", "Marks"]:
        """The rows with their marker, queries filled up, and which rows were cut for it."""
        from operators.encode.loop import Ragged
        from operators.encode.rows import joined, same, shortened, sliced

        marker, mask = self._tokens(opening.folder, opening.model)
        most = self.query_tokens if self.role == "query" else opening.folder.max_length
        room = most - (marker >= 0)
        rows, shorter = shortened(rows, room, opening.folder, opening.model)
        lengths, one = rows.lengths, np.minimum(rows.lengths, 1)
        behind = same(np.array([marker] if marker >= 0 else [], np.int32), len(lengths))
        parts = [sliced(rows, np.zeros_like(one), one), behind, sliced(rows, one, lengths)]
        if self.role == "query":
            lacking = room - lengths
            ends = np.concatenate([[0], np.cumsum(lacking)]).astype(np.int32)
            parts.append(Ragged(np.full(ends[-1], mask, np.int32), ends))
        return joined(*parts), shorter


def _dim(folder: Folder, model: str) -> int:
    """Values of a token's vector, from the header of the weights."""
    from safetensors import safe_open

    for file in folder.weights:
        with safe_open(file, framework="numpy") as weights:
            if "linear.weight" in weights.keys():  # noqa: SIM118 - it is no mapping
                return int(weights.get_slice("linear.weight").get_shape()[0])
    raise ModelError(model, "is no ColBERT: its weights lack linear.weight")
