"""Queries and their judgments to hard negatives, searched in any number of collections."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import pyarrow as pa
from pydantic import Field, WithJsonSchema, field_validator, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.base import STRICT, Ask, ParallelMap, Resources, Transform
from operators.beside import Around, Beside, pinned
from operators.contract import require
from operators.distil.teachers import check_logits, fingerprints_of
from operators.errors import ConfigError
from operators.mine import sources as each_source
from operators.mine.audit import Masking
from operators.mine.fuse import Fusion
from operators.mine.inbook import Inbook
from operators.mine.negatives import NEGATIVES
from operators.mine.qrels import Qrels
from operators.mine.rules import Option, Rule, names_of, rule
from operators.mine.rules import schema as rules_schema
from operators.mine.selection import Selection
from operators.mine.sources import Bm25, Dense, Late, Lexical
from operators.mine.summary import summary
from operators.mine.texts import check_by_id, texts_behind
from operators.storage.uri import absolute, list_files
from operators.text.source import Source

if TYPE_CHECKING:
    from operators.mine.index import Part
    from operators.mine.words import Statistics

NamedRule = str | dict[str, dict[str, Option] | None]
_UNIT = 64 << 20


@dataclass(frozen=True, config=STRICT)
class Mine:
    """Find documents near each judged query, drop those that may be relevant, keep some."""

    name: ClassVar[str] = "mine"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True
    unit_bytes: ClassVar[tuple[int, int]] = (_UNIT, _UNIT)
    """A unit costs a pass over the index, so it is as large as a unit may be."""
    aside: ClassVar[frozenset[str]] = frozenset({"queries", "documents"})

    qrels: Qrels
    dense: tuple[Dense, ...] = ()
    """Vectors tables; the first one's scores are those that rules and outputs speak of."""
    lexical: tuple[Lexical, ...] = ()
    """Tables of sparse vectors; where no dense one is named, the first one's scores are those."""
    late: tuple[Late, ...] = ()
    """Tables of token vectors."""
    bm25: Bm25 | None = None
    inbook: Inbook | None = None
    """The positives' own neighbours, beside what is searched, whose first source scores them."""
    depth: Annotated[int, Field(ge=0)] = 0
    """Candidates each source proposes; 0 is what the selection needs."""
    fusion: Fusion = Fusion()
    rules: Annotated[tuple[NamedRule, ...], WithJsonSchema(rules_schema())] = ("duplicate-text",)
    """Names, or a name with its options, in the order they are asked."""
    selection: Selection = Selection()
    audit: Masking = Masking()
    scores: Beside = Beside()
    """A scores table, for rules that ask a teacher."""
    teacher: str = ""
    """Its fingerprint, how that begins, its kind or model; empty where there is one teacher."""
    documents: Source | None = None
    """The documents' texts: what BM25 alone searches; beside a vectors table, which tells its own,
    a Delta table that has them by id."""
    queries: Source | None = None
    """Texts of the queries; filled in by the plan."""
    judgments: str = ""
    """Digest of the judgments, set by the plan; a worker that reads others fails."""
    texts: str = ""
    """Digest of the table in which texts are found by id, set by the plan; else empty."""

    @field_validator("rules")
    @classmethod
    def _rules_are_known(cls, named: tuple[NamedRule, ...]) -> tuple[NamedRule, ...]:
        names_of(_built(named))
        return named

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        if not self.tables and self.bm25 is None:
            raise ValueError(
                "nothing proposes candidates; name a vectors table under 'dense', or bm25"
            )
        asks_teacher = [each.name for each in self.asked_rules() if "teacher" in each.needs]
        if asks_teacher and not self.scores.named:
            raise ValueError(
                f"rule {asks_teacher[0]!r} asks a teacher; name its table under 'scores'"
            )
        if self.inbook is not None and any(each.name == "siblings" for each in self.asked_rules()):
            raise ValueError("rule 'siblings' drops all that 'inbook' proposes; name one of them")
        names = self.source_names
        if len(set(names)) < len(names):
            raise ValueError(f"two sources are named alike: {', '.join(names)}; give them names")
        return self

    @model_validator(mode="after")
    def _weighs_each_source(self) -> Self:
        weights, sources = self.fusion.weights, len(self.source_names)
        if weights and len(weights) != sources:
            told = f"{len(weights)} for {sources} sources ({', '.join(self.source_names)})"
            raise ValueError(f"fusion.weights: {told}; give one a source")
        return self

    @model_validator(mode="after")
    def _is_deep_enough(self) -> Self:
        wanted = self.selection.range_min + self.selection.negatives
        most = self.depth * len(self.source_names)
        if 0 < most < wanted and self.selection.shortage != "random":
            told = f"range_min and negatives ask for {wanted}"
            raise ValueError(f"depth {self.depth} gives at most {most} candidates and {told}")
        return self

    @property
    def index_names(self) -> tuple[str, ...]:
        """The names of the sources that are searched, in the order of their indexes."""
        kinds: tuple[tuple[str, tuple[Dense | Lexical | Late, ...]], ...] = (
            ("dense", self.dense),
            ("lexical", self.lexical),
            ("late", self.late),
        )
        names = tuple(
            each.name or (kind if len(sources) == 1 else f"{kind}{place}")
            for kind, sources in kinds
            for place, each in enumerate(sources, 1)
        )
        return (*names, "bm25") if self.bm25 is not None else names

    @property
    def source_names(self) -> tuple[str, ...]:
        """What a negative's `sources` calls each source, in the order of their bits."""
        return (*self.index_names, "inbook") if self.inbook is not None else self.index_names

    @property
    def tables(self) -> tuple[Dense | Lexical | Late, ...]:
        """The sources that are committed tables, in the order of their indexes."""
        return (*self.dense, *self.lexical, *self.late)

    def asked_rules(self) -> tuple[Rule, ...]:
        """The rules, built."""
        return _built(self.rules)

    def bind(self, schema: pa.Schema) -> pa.Schema:
        places = (columns.SOURCE_FILE, columns.SOURCE_ROW)
        require(self.name, schema, columns.ID, columns.CONTENT_HASH, *places)
        for each in self.tables:
            each_source.check_queries(each, schema)
        self._check_there()
        return NEGATIVES

    def settled(self, around: Around) -> Self:
        """Tables pinned, texts found, judgments digested; refuses what cannot be searched."""
        dense = tuple(each_source.settled(each, around) for each in self.dense)
        lexical = tuple(each_source.settled(each, around) for each in self.lexical)
        late = tuple(each_source.settled(each, around) for each in self.late)
        tables: tuple[Dense | Lexical | Late, ...] = (*dense, *lexical, *late)
        texts = self._with_texts(around, tables[0].vectors if tables else None)
        each_source.check_needs(tables, texts.documents, self._needs())
        each_source.check_depth(tables, max(self.depth, self.selection.range_max))
        scores = pinned(self.scores, around.versions) if self.scores.named else self.scores
        wanted = (self.teacher,) if self.teacher else ()
        teacher = fingerprints_of(scores, wanted)[0] if scores.named else ""
        for each in self.asked_rules():
            if getattr(each, "scale", "") == "sigmoid":
                check_logits(scores, teacher, f"mine: rule {each.name!r}", "set its scale: raw")
        return replace(
            texts,
            dense=dense,
            lexical=lexical,
            late=late,
            queries=self.queries or each_source.texts_of_queries(around.source),
            scores=scores,
            teacher=teacher,
            qrels=replace(self.qrels, uri=absolute(self.qrels.uri)),
            judgments=self.qrels.digest(),
        )

    def _check_there(self) -> None:
        """What no phase makes, packages and judgments, is looked for; the plan reads these."""
        if self.bm25 is not None:
            each_source.check_installed("bm25s", "bm25")
        if any(each.approximate for each in self.dense):
            each_source.check_installed("faiss", "approximate")
        if not self.judgments:
            list_files(absolute(self.qrels.uri))

    def _with_texts(self, around: Around, first: Beside | None) -> Self:
        """The documents' texts where the config names them, else behind the first table."""
        settled_before = bool(self.judgments) and not self.texts
        named = None if first is not None and settled_before else self.documents
        documents = named
        if documents is None:
            if first is None:
                needed = "bm25 alone needs 'documents', the texts that it searches"
                raise ConfigError((f"mine: {needed}",))
            documents = texts_behind(first, self._reader())
        if documents is None or (named is None and self.bm25 is None):
            return replace(self, documents=documents)
        listed = around.list_source(documents)
        bm25 = self.bm25 and replace(self.bm25, units=listed.units, snapshot=listed.snapshot)
        if named is not None and first is not None:
            check_by_id(listed.source)
            return replace(self, documents=listed.source, bm25=bm25, texts=listed.snapshot)
        return replace(self, documents=listed.source, bm25=bm25)

    def _reader(self) -> str:
        """What reads the documents' texts while mining, if anything does."""
        rules = (f"rule {each.name!r}" for each in self.asked_rules() if "texts" in each.needs)
        return next(rules, "") if self.bm25 is None else "bm25"

    def _needs(self) -> set[str]:
        """What rules, sources and the selection read beyond ids and hashes."""
        needs = {need for each in self.asked_rules() for need in each.needs}
        needs |= {"parents"} if self.inbook is not None else set()
        return needs | ({"kinds"} if self.selection.local else set())

    def told(self, tables: Iterable[pa.Table]) -> dict[str, Any]:
        """The audit of new negatives, without its examples."""
        sums = summary(tables).to_json()
        return {"audit": {name: sums[name] for name in sums if not name.endswith("_examples")}}

    @contextmanager
    def open(self, on: Resources = Resources()) -> Iterator[Transform]:  # noqa: B008 - frozen
        from operators.mine import opening

        parts = opening.parts(self, self.surveyed(1, map))
        with self.open_with(opening.Here(parts), on) as mined:
            yield mined

    def surveyed(self, of: int, parallel: ParallelMap) -> "Statistics | None":
        """BM25's statistics over all parts; None where it is no source."""
        from operators.mine import opening

        return opening.surveyed(self, of, parallel)

    def open_part(self, part: int, of: int, survey: "Statistics | None") -> "list[Part]":
        """Part `part` of `of` of every source's index, in memory."""
        from operators.mine import opening

        return opening.parts(self, survey, part, of, resident=True)

    @contextmanager
    def open_with(self, ask: Ask, on: Resources) -> Iterator[Transform]:
        """The transform over indexes whose parts are reached through `ask`."""
        from operators.mine.miner import Miner

        yield Miner.of(self, ask).mined


def _built(named: tuple[NamedRule, ...]) -> tuple[Rule, ...]:
    built = []
    for each in named:
        options: Mapping[str, Mapping[str, Option] | None] = (
            {each: None} if isinstance(each, str) else each
        )
        if len(options) != 1:
            raise ValueError(f"a rule is a name, or one name with its options, not {each}")
        [(name, chosen)] = options.items()
        built.append(rule(name, chosen or {}))
    return tuple(built)
