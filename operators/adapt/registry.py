"""The maps by name: one line each."""

from difflib import get_close_matches

from operators.adapt.adder import Adder
from operators.adapt.linear import Linear
from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import SpaceMap
from operators.adapt.shift import Shift

MAPS: dict[str, type[SpaceMap]] = {
    "orthogonal": Orthogonal,
    "linear": Linear,
    "shift": Shift,
    "adder": Adder,
}


def map_class(name: str) -> type[SpaceMap]:
    """The class of a map; ValueError that says what is near where there is no such name."""
    if name in MAPS:
        return MAPS[name]
    near = get_close_matches(name, MAPS, 1)
    hint = f"did you mean {near[0]!r}?" if near else "there are " + ", ".join(MAPS)
    raise ValueError(f"no map {name!r}; {hint}")
