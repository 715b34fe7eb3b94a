"""How a collection is searched where not exactly."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT


@dataclass(frozen=True, config=STRICT)
class Ann:
    """Approximate indexes (faiss), each built from a run of the vectors in their order."""

    kind: Literal["hnsw", "ivf"] = "hnsw"
    links: Annotated[int, Field(ge=4)] = 32
    """`hnsw`: neighbours of a vector in the graph."""
    effort: Annotated[int, Field(ge=0)] = 0
    """`hnsw`: vectors looked at for a query, `ivf`: lists; 0 is 4 x k or an eighth of the lists."""
    lists: Annotated[int, Field(ge=0)] = 0
    """`ivf`: cells of a run; 0 is four times the root of its rows."""
    rows: Annotated[int, Field(ge=1)] = 1 << 18
    """Rows of a run, about, whole row groups: one index each, however many workers hold them."""
    seed: int = 0
    min_recall: Annotated[float, Field(ge=0, le=1)] = 0.95
    """Share of the exact hits that the sample must find, or the run is refused."""
    sample: Annotated[int, Field(ge=1)] = 64
    """Queries whose hits are compared with the exact ones."""
