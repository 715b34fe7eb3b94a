"""The strategies of encoding by kind: one line each."""

from typing import Annotated

from pydantic import Field

from operators.encode.colbert_xm import ColbertXm
from operators.encode.dupmae import Dupmae
from operators.encode.gem import Gem
from operators.encode.jrt_repeat import JrtRepeat
from operators.encode.late_chunking import LateChunking
from operators.encode.matryoshka import Matryoshka
from operators.encode.nv_embed import NvEmbed
from operators.encode.pooled import Pooled
from operators.encode.prefix_lm import PrefixLm
from operators.encode.rcnn_pool import RcnnPool
from operators.encode.splade import Splade
from operators.encode.static_l0 import StaticL0
from operators.encode.token_prepending import TokenPrepending
from operators.encode.ullme import Ullme

AnyStrategy = Annotated[
    ColbertXm
    | Dupmae
    | Gem
    | JrtRepeat
    | LateChunking
    | Matryoshka
    | NvEmbed
    | Pooled
    | PrefixLm
    | RcnnPool
    | Splade
    | StaticL0
    | TokenPrepending
    | Ullme,
    Field(discriminator="kind"),
]
