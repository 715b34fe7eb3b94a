"""The operator that scores pairs of query and document, by whichever teacher its config names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import pyarrow as pa
from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators import columns
from operators.arrays import whole
from operators.base import STRICT, Operator, Resources, Transform
from operators.beside import Around, Beside, pinned
from operators.contract import extend, require, without
from operators.encode import allocator
from operators.encode.strategy import TAKES, AnyEngine, Engine, Precision, check_precision
from operators.errors import ConfigError, ModelError
from operators.model import Model
from operators.teach.filling import filled, own_rows
from operators.teach.layouts import WHOLE, Layout
from operators.teach.protocol import Scorer, Teacher
from operators.teach.registry import TEACHERS
from operators.text.origin import field_of
from operators.text.source import Source

_TEXTS = ("query", "text", "answer")
_LATER = ("layout", "language", "answer", "norm", "beyond")
_ANYWHERE = Resources()
_TIMED = 64
"""Pairs that backends are timed on."""
_OPTIONS = ("template", "answers", "backend", "layout", "language", "answer", "norm")
"""Fields that are options of some teachers; None leaves a teacher its own."""


@dataclass(frozen=True, config=STRICT)
class Teach:
    """Add `logit`, what the teacher's model says of each pair whose `teacher` it is.

    Raw logits: a sigmoid makes a probability of one of a cross-encoder or a yes-no teacher.
    """

    name: ClassVar[str] = "teach"
    version: ClassVar[int] = 1
    loads_model: ClassVar[bool] = True
    reads_texts: ClassVar[bool] = True

    model: Model
    teacher: Literal[
        "cross-encoder",
        "bi-encoder",
        "query-likelihood",
        "answer-likelihood",
        "yes-no",
        "uni-encoder",
        "maxsim",
    ] = "cross-encoder"
    precision: Precision = "fp32"
    max_length: Annotated[int, Field(ge=0)] = 0
    """Tokens a pair may have (a bi-encoder: each text of it); 0 is what the model says."""
    template: str | None = None
    """What a decoder reads, with `{text}` and `{query}`; None is the teacher's own."""
    answers: tuple[str, str] | None = None
    """The words a yes-no teacher weighs, the agreeing one first; None is Yes and No."""
    backend: AnyEngine | None = None
    """What computes a cross- or bi-encoder: torch anywhere; openvino and onnxruntime on CPUs; auto:
    the fastest of those installed, timed on some pairs once and pinned to the table."""
    layout: Layout | None = None
    """Which candidates of one pass a uni-encoder lets see each other; None is isolated.

    Under arrow and square a logit depends on the query's whole list: it is scored at once, and all
    lists anew whenever the mined rows change.
    """
    language: str | None = None
    """The adapters that a maxsim teacher takes; None for a model without any."""
    answer: str | None = None
    """The column of the queries' source that holds what answer-likelihood is to find."""
    norm: Literal["mean", "sum"] | None = None
    """Of the answer's tokens; None is their mean."""
    beyond: str = ""
    """Digest of what a logit depends on beside its pair, set by the plan; else empty.

    The mined rows where lists are scored whole, the queries' files where these hold the answers.
    """
    fingerprint: str = ""
    """What the column `teacher` holds for its rows; set by the plan."""
    more: bool = False
    """Another teacher follows, so the texts stay; set by the plan."""

    @model_validator(mode="after")
    def _teacher_takes_the_options(self) -> "Teach":
        for option in self._options():
            if option not in TEACHERS[self.teacher].options:
                raise ValueError(f"teacher {self.teacher!r} has no option {option!r}")
        check_precision(self.backend or "torch", self.precision)
        return self

    @property
    def aside(self) -> frozenset[str]:
        """What is no identity; of fields that teachers did not have at first, those not used.

        One that says what the teacher does anyway is not used either.
        """
        own = TEACHERS[self.teacher]
        unused = {
            name for name in _LATER if getattr(self, name) in (None, "", getattr(own, name, None))
        }
        return frozenset({"fingerprint", "more", *unused})

    @property
    def roles(self) -> frozenset[str]:
        """The roles whose prompts its model is given: both where it embeds, else none."""
        return TEACHERS[self.teacher].roles

    def followed(self, following: tuple[Operator, ...]) -> Self:
        """The step that keeps the texts where another teacher reads them too."""
        return replace(self, more=any(isinstance(step, Teach) for step in following))

    @property
    def undecided(self) -> bool:
        return self.backend == "auto"

    def decided(self, choice: str) -> Self:
        return replace(self, backend=cast("Engine", choice))

    def choose(self, sample: pa.Table, on: Resources) -> str:
        """The fastest backend for some of its pairs: torch unless another is clearly faster."""
        from operators.encode.fastest import fastest

        rows = own_rows(sample, self.fingerprint)
        timed = sample.take(rows[:: -(-len(rows) // _TIMED) or 1])
        takes = [engine for engine in sorted(TAKES) if self.precision in TAKES[engine]]
        return fastest(takes, self.decided, timed, on)

    @property
    def whole(self) -> bool:
        """Whether a logit depends on the other candidates of its query."""
        return self.layout in WHOLE

    def settled(self, around: Around) -> Self:
        """The teacher with its fingerprint, and with the lists that it scores whole."""
        beyond = [_lists(around.source)] if self.whole else []
        beyond += [_answers(around)] if self.answer else []
        step = replace(self, beyond=" ".join(beyond), fingerprint="")
        return replace(step, fingerprint=around.identify(step))

    def bind(self, schema: pa.Schema) -> pa.Schema:
        more = [columns.QUERY_ID] if self.whole else []
        more += [columns.ANSWER] if self.answer else []
        require(self.name, schema, columns.QUERY, columns.TEXT, columns.TEACHER, *more)
        self._teacher().check()
        bound = extend(schema, columns.LOGIT)
        return bound if self.more else without(bound, *_TEXTS)

    @contextmanager
    def open(self, on: Resources = _ANYWHERE) -> Iterator[Transform]:
        allocator.keep()  # before torch is there
        from operators.encode import device

        assert not self.undecided, "the plan decides before a step is opened"
        teacher = self._teacher()
        teacher.check()
        with device.threads(on.threads):
            try:
                place = device.pick(on.device if (self.backend or "torch") == "torch" else "cpu")
            except ValueError as error:
                raise ModelError(self.model.path, str(error)) from error
            yield partial(self._teach, teacher.scorer(place, on.token_budget))

    def _teach(self, scorer: Scorer, table: pa.Table) -> pa.Table:
        rows = own_rows(table, self.fingerprint)
        asked = table.take(rows)
        scored = scorer(*(whole(asked[name]) for name in self._reads()))
        there = [name for name in _TEXTS if name in table.column_names]
        out = table if self.more else table.drop_columns(there)
        return filled(out, rows, scored)

    def _teacher(self) -> Teacher:
        length = self.max_length or self.model.max_length
        model = replace(self.model, max_length=length)
        fields = {"model": model, "precision": self.precision, **self._options()}
        return TEACHERS[self.teacher](**fields)

    def _reads(self) -> tuple[str, ...]:
        """Columns that its scorer is given."""
        more = ("query_id",) if self.whole else ("answer",) if self.answer else ()
        return (*_TEXTS[:2], *more)

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OPTIONS if getattr(self, name) is not None}


def _answers(around: Around) -> str:
    """What tells the files of the queries, where their answers are, from any others."""
    mined = Beside(around.source.uri, version=around.source.version)
    return around.list_source(field_of(mined, "mine", "queries")).snapshot


def _lists(source: Source) -> str:
    """What tells the mined rows of a phase from any others."""
    if source.format != "delta":
        raise ConfigError(
            ("teach: a layout that scores whole lists needs a phase that reads mined rows",)
        )
    return pinned(Beside(source.uri, version=source.version), {}).snapshot
