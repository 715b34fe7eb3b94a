"""What a query is told before it is encoded: a task, and examples of it (TECHNIQUES `lg-anna`)."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from operators.base import STRICT

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, config=STRICT)
class Example:
    """A query and a passage that answers it."""

    query: Annotated[str, Field(min_length=1)]
    passage: Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class Instruction:
    """A task before every query, and before it examples: the first ones that leave it room.

    The words around them were not published; those here are ours, after what E5 and NV-Embed use.
    """

    task: Annotated[str, Field(min_length=1)]
    examples: tuple[Example, ...] = ()
    template: str = "{examples}Instruct: {task}\nQuery: {query}"
    """Ends with {query}; what stands before it is the prompt."""
    example: str = "Instruct: {task}\nQuery: {query}\n{passage}\n\n"
    """Of each example; they stand one after the other where the template says {examples}."""

    @model_validator(mode="after")
    def _places_are_known(self) -> "Instruction":
        for text, known in (
            (self.template, {"examples", "task", "query"}),
            (self.example, {"task", "query", "passage"}),
        ):
            others = sorted(set(_PLACE.findall(text)) - known)
            if others:
                raise ValueError(f"{text!r} holds {{{others[0]}}}, which means nothing there")
        if self.template.count("{query}") != 1 or not self.template.endswith("{query}"):
            raise ValueError(
                f"template {self.template!r} should end with {{query}}, and hold it once"
            )
        if self.examples and "{examples}" not in self.template:
            raise ValueError(f"template {self.template!r} has no place for {{examples}}")
        return self

    def prompts(self) -> tuple[str, ...]:
        """What stands before a query: with all examples, with one less, and so on to none."""
        shots = [
            _filled(self.example, {"task": self.task, "query": each.query, "passage": each.passage})
            for each in self.examples
        ]
        return tuple(
            _filled(self.template, {"examples": "".join(shots[:count]), "task": self.task})
            for count in range(len(shots), -1, -1)
        )


def _filled(template: str, given: Mapping[str, str]) -> str:
    """The template with each place filled once; texts may hold braces of their own."""
    return _PLACE.sub(lambda found: given.get(found[1], ""), template)
