"""The rules by name, one line each, and what they say together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError

from operators.mine.case import Case as Case
from operators.mine.case import Rule as Rule
from operators.mine.case import TeacherScores as TeacherScores
from operators.mine.case import Texts as Texts
from operators.mine.pool import Marks, Places, Pool
from operators.mine.rules_judged import (
    DuplicateText,
    Judged,
    NoScore,
    Positives,
    Siblings,
    Strangers,
)
from operators.mine.rules_score import AbsoluteMargin, MaxScore, MinScore, NvMine, RelativeMargin
from operators.mine.rules_teacher import LgMine, Teacher
from operators.mine.rules_text import NearDuplicate

RULES: dict[str, type[Rule]] = {
    "no-score": NoScore,
    "positives": Positives,
    "judged": Judged,
    "duplicate-text": DuplicateText,
    "near-duplicate": NearDuplicate,
    "siblings": Siblings,
    "strangers": Strangers,
    "absolute-margin": AbsoluteMargin,
    "relative-margin": RelativeMargin,
    "nv-mine": NvMine,
    "lg-mine": LgMine,
    "teacher": Teacher,
    "max-score": MaxScore,
    "min-score": MinScore,
}
ALWAYS: tuple[Rule, ...] = (NoScore(), Positives(), Judged())
"""Apply first, named or not."""

Option = str | int | float | bool | None
Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Verdict:
    """Which rule dropped each candidate."""

    rules: tuple[str, ...]
    """Names in the order they were asked."""
    dropped_by: Places
    """One a candidate: the first of `rules` that drops it, -1 if none does."""

    @property
    def kept(self) -> Marks:
        marks: Marks = self.dropped_by < 0
        return marks

    def counts(self, pool: Pool) -> Counts:
        """(queries, rules) proposed candidates dropped; those drawn at random are left out."""
        counted = (self.dropped_by >= 0) & (pool.sources != 0)
        width = len(self.rules)
        flat = pool.query[counted] * width + self.dropped_by[counted]
        return np.bincount(flat, minlength=pool.queries * width).reshape(-1, width).astype(np.int32)


def rule(name: str, options: Mapping[str, Option]) -> Rule:
    """The rule of that name; ValueError that says what is wrong with the name or its options."""
    if name not in RULES:
        near = get_close_matches(name, RULES, 1)
        hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(RULES)
        raise ValueError(f"no rule {name!r}; {hint}")
    try:
        return RULES[name](**options)
    except ValidationError as error:
        found = error.errors()[0]
        option = ".".join(str(part) for part in found["loc"])
        known = ", ".join(field.name for field in fields(cast(Any, RULES[name]))) or "none"
        if found["type"] == "unexpected_keyword_argument":
            raise ValueError(f"rule {name!r} has no option {option!r}; it has: {known}") from None
        raise ValueError(f"rule {name!r}, {option}: {found['msg']}") from None


def schema() -> dict[str, Any]:
    """The JSON Schema of a list of rules: names, or a name with its options."""
    named = [
        {
            "type": "object",
            "additionalProperties": False,
            "required": [name],
            "properties": {name: {"anyOf": [TypeAdapter(kind).json_schema(), {"type": "null"}]}},
        }
        for name, kind in RULES.items()
    ]
    return {"type": "array", "items": {"anyOf": [{"enum": list(RULES)}, *named]}}


def names_of(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The names in the order `apply` asks; ValueError where a rule stands twice."""
    return tuple(rule.name for rule in _ordered(rules))


def apply(rules: Sequence[Rule], case: Case) -> Verdict:
    """Ask each rule about what the ones before it left, `ALWAYS` first."""
    ordered = _ordered(rules)
    dropped_by = np.full(len(case.pool), -1, np.int64)
    for number, asked in enumerate(ordered):
        left = np.flatnonzero(dropped_by < 0)
        if not len(left):
            break
        pool = case.pool if len(left) == len(case.pool) else case.pool.only(dropped_by < 0)
        dropped_by[left[asked.drops(replace(case, pool=pool))]] = number
    return Verdict(tuple(rule.name for rule in ordered), dropped_by)


def _ordered(rules: Sequence[Rule]) -> tuple[Rule, ...]:
    first = {rule.name for rule in ALWAYS}
    ordered = (*ALWAYS, *(rule for rule in rules if rule.name not in first))
    names = [rule.name for rule in ordered]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"rule {twice[0]!r} is named twice; name it once")
    return ordered
