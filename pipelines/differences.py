"""Which fields of a recipe changed, in words: why a run makes everything anew."""

from collections.abc import Iterator
from typing import Any

_MISSING = object()
_SHORT = 40


def differences(before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """A sentence for each field that differs between two recipes, named by step and field.

    Digests and long values are only named, since nobody reads them.
    """
    return tuple(_compared(_by_step(before), _by_step(now), ""))


def _by_step(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with its steps by name instead of by place; the second of a name has a number."""
    steps: dict[str, Any] = {}
    for step in recipe.get("steps", ()):
        name = str(step.get("operator"))
        same = sum(1 for known in steps if known.partition(" ")[0] == name)
        fields = {key: value for key, value in step.items() if key != "operator"}
        steps[f"{name} {same + 1}" if same else name] = fields
    return {"read": recipe.get("read", {}), **steps}


def _compared(before: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            inner = f"{place}.{key}" if place else str(key)
            yield from _compared(before.get(key, _MISSING), now.get(key, _MISSING), inner)
    elif before is _MISSING:
        yield f"{place} is new"
    elif now is _MISSING:
        yield f"{place} is gone"
    elif before != now:
        shown = [_shown(value) for value in (before, now)]
        yield f"{place} changed" + (f" from {shown[0]} to {shown[1]}" if all(shown) else "")


def _shown(value: Any) -> str:
    """A value that says something to a reader, else nothing."""
    text = repr(value)
    is_digest = (
        isinstance(value, str) and len(value) >= 32 and not set(value) - set("0123456789abcdef")
    )
    return "" if is_digest or len(text) > _SHORT or isinstance(value, dict) else text
