"""Schemes as a command line names them: `int8`, `pq:blocks=32`, `rabitq:dims=256`."""

from collections.abc import Sequence
from typing import Any

from operators.errors import ConfigError
from operators.quantize.quantize import Quantize
from operators.quantize.registry import SCHEMES
from pipelines.mistakes import Mistakes

_SHORTER = 2
"""Part of the dimensions that is tried where no scheme is named."""


def asked_for(told: str, dim: int) -> dict[str, Quantize]:
    """The operators of a comma-separated list, by name; all there are for an empty one.

    ConfigError with every mistake of the list.
    """
    names = [name.strip() for name in told.split(",")] if told else list(_every(dim))
    mistakes = Mistakes("--schemes")
    found = {name: mistakes.build(name, Quantize, _fields(name, mistakes)) for name in names}
    if mistakes.sentences:
        raise ConfigError(tuple(mistakes.sentences))
    return {name: step for name, step in found.items() if step is not None}


def _every(dim: int) -> Sequence[str]:
    shorter = f"dims={max(1, dim // _SHORTER)}"
    whole = [name for name in SCHEMES if name != "truncate"]
    return [*whole, "binary:center=median", f"truncate:{shorter}", f"int8:{shorter}"]


def _fields(name: str, mistakes: Mistakes) -> dict[str, Any]:
    scheme, *options = name.split(":")
    fields: dict[str, Any] = {"scheme": scheme}
    for option in options:
        key, given, value = option.partition("=")
        if not given:
            mistakes.add(name, f"expected option=value after ':', found {option!r}")
        else:
            fields[key] = int(value) if value.isdecimal() else value
    return fields
