"""The schemes by name: one line each."""

from difflib import get_close_matches

from operators.quantize.binary import Binary
from operators.quantize.fp8 import Fp8
from operators.quantize.fp16 import Fp16
from operators.quantize.int8 import Int8
from operators.quantize.int8_dim import Int8Dim
from operators.quantize.opq import Opq
from operators.quantize.pq import Pq
from operators.quantize.protocol import Scheme
from operators.quantize.rabitq import Rabitq
from operators.quantize.residual import ResidualCodec
from operators.quantize.rvq import Rvq
from operators.quantize.truncate import Truncate

SCHEMES: dict[str, type[Scheme]] = {
    "fp16": Fp16,
    "fp8": Fp8,
    "int8": Int8,
    "int8-dim": Int8Dim,
    "binary": Binary,
    "rabitq": Rabitq,
    "pq": Pq,
    "opq": Opq,
    "rvq": Rvq,
    "residual-codec": ResidualCodec,
    "truncate": Truncate,
}


def scheme_class(name: str) -> type[Scheme]:
    """The class of a scheme; ValueError that says what is near where there is no such name."""
    if name in SCHEMES:
        return SCHEMES[name]
    near = get_close_matches(name, SCHEMES, 1)
    hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(SCHEMES)
    raise ValueError(f"no scheme {name!r}; {hint}")
