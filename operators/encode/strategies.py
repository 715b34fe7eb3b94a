"""The strategies of encoding by kind: one line each."""

from typing import Annotated

from pydantic import Field

from operators.encode.dupmae import Dupmae
from operators.encode.pooled import Pooled
from operators.encode.splade import Splade
from operators.encode.ullme import Ullme

AnyStrategy = Annotated[
    Dupmae | Pooled | Splade | Ullme,
    Field(discriminator="kind"),
]
