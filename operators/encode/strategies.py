"""The strategies of encoding by kind: one line each."""

from typing import Annotated

from pydantic import Field

from operators.encode.colbert_xm import ColbertXm
from operators.encode.dupmae import Dupmae
from operators.encode.gem import Gem
from operators.encode.jrt_repeat import JrtRepeat
from operators.encode.nv_embed import NvEmbed
from operators.encode.pooled import Pooled
from operators.encode.prefix_lm import PrefixLm
from operators.encode.splade import Splade
from operators.encode.static_l0 import StaticL0
from operators.encode.ullme import Ullme

AnyStrategy = Annotated[
    ColbertXm | Dupmae | Gem | JrtRepeat | NvEmbed | Pooled | PrefixLm | Splade | StaticL0 | Ullme,
    Field(discriminator="kind"),
]
