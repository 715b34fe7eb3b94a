"""The schemes by name: one line each."""

from difflib import get_close_matches

from operators.quantize.binary import Binary
from operators.quantize.fp16 import Fp16
from operators.quantize.int8 import Int8
from operators.quantize.protocol import Scheme

SCHEMES: dict[str, type[Scheme]] = {
    "fp16": Fp16,
    "int8": Int8,
    "binary": Binary,
}


def scheme_class(name: str) -> type[Scheme]:
    """The class of a scheme; ValueError that says what is near where there is no such name."""
    if name in SCHEMES:
        return SCHEMES[name]
    near = get_close_matches(name, SCHEMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(SCHEMES)
    raise ValueError(f"no scheme {name!r}; {hint}")
