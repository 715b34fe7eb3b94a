"""A config before its meaning: YAML in which no key comes twice, and changes by `key=value`."""

from collections.abc import Hashable, Iterator
from typing import Any

import yaml

from operators.redaction import names_secret


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


def secret_keys(raw: Any) -> Iterator[str]:
    """The keys, anywhere in a config's data, that name a secret and have a value."""
    items = (
        raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    )
    for key, value in items:
        if isinstance(value, str | int) and value and names_secret(str(key)):
            yield str(key)
        yield from secret_keys(value)


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
