"""A config before its meaning: YAML in which no key comes twice, and changes by `key=value`."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

_SECRET = re.compile(r"(\w+://)[^/@\s'\"]*:(?!\d+/)[^@\s'\"]+@")
"""A user name and a password before a host; a port is no password."""


class _OneKeyOnce(yaml.SafeLoader):
    """Plain YAML keeps the last of two equal keys and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value!r} comes twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def parsed(text: str) -> Any:
    """What a YAML text says; ValueError with one sentence where it is not YAML."""
    try:
        return yaml.load(text, _OneKeyOnce)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def change(raw: dict[str, Any], override: str) -> None:
    """Set one value, as in `phases.vectors.steps.tokenize.max_length=128`.

    A step is named by its operator, or by its number from 0. ValueError says what is wrong.
    """
    path, equals, value = override.partition("=")
    if not equals:
        raise ValueError("expected path.to.key=value")
    *parents, last = path.split(".")
    place: Any = raw
    for depth, key in enumerate(parents):
        place = _inside(place, key)
        if not isinstance(place, dict | list):
            raise ValueError(f"{'.'.join(parents[: depth + 1])!r} holds no keys")
    if isinstance(place, list):
        place[_number(place, last)] = parsed(value)
    else:
        place[last] = parsed(value)


def secret_in(text: str) -> bool:
    """Whether a URI in the text holds a user name and a password."""
    return bool(_SECRET.search(text))


def without_secret(text: str) -> str:
    """The text with what stands before the host of such a URI left out."""
    return _SECRET.sub(r"\1***@", text)


def _inside(place: Any, key: str) -> Any:
    """The value under a key, an empty mapping put there where there is none."""
    if not isinstance(place, list):
        if place.get(key) is None:
            place[key] = {}
        return place[key]
    named = [step for step in place if isinstance(step, dict) and key in step]
    if len(named) > 1:
        raise ValueError(f"{len(named)} steps are named {key!r}; say which by its number from 0")
    return _inside(named[0], key) if named else place[_number(place, key)]


def _number(place: list[Any], key: str) -> int:
    if not key.isdecimal() or int(key) >= len(place):
        last = len(place) - 1
        raise ValueError(
            f"there is no step {key!r}; name its operator, or a number from 0 to {last}"
        )
    return int(key)
