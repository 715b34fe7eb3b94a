"""The operator that makes training targets of teachers' scores."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators.base import STRICT, Resources, Transform
from operators.beside import Around, Beside, pinned
from operators.contract import require
from operators.distil.distiller import Distiller
from operators.distil.false_negatives import DropFalse
from operators.distil.fuse import FUSIONS
from operators.distil.targets import LOGITS, TARGETS
from operators.distil.teachers import check_logits, fingerprints_of
from operators.distil.triples import MINED, schema_of
from operators.errors import ConfigError
from operators.storage.table import Table
from operators.text.origin import field_of, recorded_field
from operators.text.source import Names, Source


@dataclass(frozen=True, config=STRICT)
class Distil:
    """Turn mined rows and a scores table into triples: one row a (query, positive), with targets.

    Texts of a pair are found in the scores by their hashes; a negative without a score is dropped
    or refused as `missing` says, a row whose positive has none is rejected.
    """

    scores: Beside = Beside()
    """The teachers' scores; none at all gives judged triples, without a teacher."""
    teachers: Names = ()
    """Fingerprints or how they begin, or kinds such as cross-encoder; empty is the only one."""
    fuse: Annotated[str, Field(json_schema_extra={"enum": list(FUSIONS)})] = "only"
    target: Annotated[str, Field(json_schema_extra={"enum": ["", *TARGETS]})] = ""
    """Empty is margin-mse with scores, judged without."""
    temperature: Annotated[float | None, Field(gt=0)] = None
    """Of the softmax; None is the target's own: 1, for u-marvel 0.05."""
    weight: Annotated[float | None, Field(ge=0)] = None
    """Of the teacher in lg-anna (0.5) and u-marvel (1)."""
    drop_false: DropFalse | None = None
    missing: Literal["drop", "refuse"] = "drop"
    """What becomes of a pair that no teacher, or not every teacher, has scored."""
    negatives: Annotated[int, Field(ge=0)] = 0
    """Keep so many a row, the first mined, or the highest by the fusion's ranks; 0 is all."""
    queries: Source | None = None
    """Texts of the queries, for the export; filled in by the plan."""
    documents: Source | None = None
    """Texts of the documents, for the export; filled in by the plan."""

    name: ClassVar[str] = "distil"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = False
    aside: ClassVar[frozenset[str]] = frozenset({"queries", "documents"})

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, known in (("fuse", FUSIONS), ("target", {"", *TARGETS})):
            if getattr(self, name) not in known:
                there = ", ".join(sorted(filter(None, known)))
                raise ValueError(f"no {name} {getattr(self, name)!r}; there are: {there}")
        if not self.scores.named and (self.kind != "judged" or self.teachers or self.drop_false):
            raise ValueError("nothing scores the pairs; name a scores table under 'scores'")
        if (len(self.teachers) > 1) != (self.fuse != "only"):
            raise ValueError("fuse joins several teachers: name them and how, or one and neither")
        if self.kind == "lg-anna" and self.weight is not None and self.weight > 1:
            raise ValueError(f"weight of lg-anna is a share from 0 to 1, not {self.weight}")
        return self

    @model_validator(mode="after")
    def _probabilities_are_of_logits(self) -> Self:
        if self.fuse in {"mean", "rrf"} and self._of_logits:
            who = self._of_logits[0]
            raise ValueError(f"{who} takes a teacher's logits, and fuse {self.fuse} gives none")
        return self

    @property
    def _of_logits(self) -> tuple[str, ...]:
        """What makes probabilities of the scores, and what would not; nothing where none does."""
        if self.kind in LOGITS:
            return f"target {self.kind}", "take target scores or softmax"
        by_share = self.drop_false is not None and self.drop_false.scale == "sigmoid"
        return ("drop_false on scale sigmoid", "set its scale: raw") if by_share else ()

    @property
    def kind(self) -> str:
        """The target it makes."""
        return self.target or ("margin-mse" if self.scores.named else "judged")

    def bind(self, schema: pa.Schema) -> pa.Schema:
        require(self.name, schema, *MINED)
        return schema_of(self.kind)

    def settled(self, around: Around) -> Self:
        """The scores pinned, teachers by fingerprint, and where the texts of the mined rows lie."""
        scores = pinned(self.scores, around.versions) if self.scores.named else self.scores
        mined = Beside(uri=around.source.uri, version=around.source.version)
        teachers = fingerprints_of(scores, self.teachers) if scores.named else ()
        if self._of_logits:
            who, instead = self._of_logits
            check_logits(scores, teachers[-1], f"distil: {who}", instead)
        if self.kind == "u-marvel":
            _check_cosines(mined)
        return replace(
            self,
            scores=scores,
            teachers=teachers,
            queries=self.queries or field_of(mined, "mine", "queries"),
            documents=self.documents or recorded_field(mined, "mine", "documents"),
        )

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        from operators.teach.stored import StoredScores

        table = self.scores
        if table.named and not self.teachers:
            raise ConfigError(("distil: the plan has not named its teachers",))
        teachers = [StoredScores(table.uri, table.version, each).of for each in self.teachers]
        yield Distiller(self, teachers).distilled


def _check_cosines(mined: Beside) -> None:
    """ConfigError where the commit says that something else than vectors scored the negatives."""
    lineage = Table(mined.uri).lineage(mined.version) or {}
    steps = lineage.get("config", {}).get("steps", ())
    mine = next((step["mine"] for step in steps if "mine" in step), None)
    if mine is not None and not mine.get("dense", True):
        first = next((name for name in ("lexical", "late") if mine.get(name)), "bm25")
        found = f"{first} scored the negatives of {mined.uri}"
        hint = "mine with a 'dense' source, or take target softmax"
        raise ConfigError((f"distil: target u-marvel takes cosines, and {found}; {hint}",))
