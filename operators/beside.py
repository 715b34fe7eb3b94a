"""A table that an operator reads beside its input, pinned to a version by the plan."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT


@dataclass(frozen=True, config=STRICT)
class Beside:
    """Names a Delta table by `uri`, or by the `phase` of the same pipeline that commits it."""

    uri: str = ""
    phase: str = ""
    version: Annotated[int, Field(ge=-1)] = -1
    """-1 is the newest when the plan is made."""
    snapshot: str = ""
    """Digest of the version's files, set by the plan: the only part that is identity."""
