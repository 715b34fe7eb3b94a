"""A teacher that asks how likely the query is after the document (LLM-Embedder's reward)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from operators.encode.strategy import Precision
from operators.errors import ModelError
from operators.model import Model
from operators.teach.prompts import (
    Prompter,
    Template,
    decoder_folder,
    encode_prompts,
    parse,
    prompter,
)
from operators.teach.protocol import Scored, Scorer

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop

_TEMPLATE = "Knowledge: {text}\n\nQuestion: {query}"
_NO_ROOM = "its query leaves no room for the text within the model's length, or has no token"


@dataclass(frozen=True)
class QueryLikelihood:
    """The mean log-likelihood of the query's tokens given the prompt before them.

    The template ends with `{query}`; no token of the prompt counts.
    """

    options: ClassVar[frozenset[str]] = frozenset({"template"})
    roles: ClassVar[frozenset[str]] = frozenset()

    model: Model
    precision: Precision = "fp32"
    template: str = _TEMPLATE

    def check(self) -> None:
        decoder_folder(self.model, "query-likelihood")
        self._parsed()

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop
        from operators.teach import probe
        from operators.teach.decoder import Decoder, likelihood, load

        folder = decoder_folder(self.model, "query-likelihood")
        prompts = prompter(folder, self._parsed())
        network = load(folder, self.model.path, self.precision, device)
        forward = Decoder(self.model.path, *network, likelihood)
        probe.check_decoder(folder, forward, self.precision, prompts)
        return _Scorer(prompts, Loop(forward, budget or token_budget(device, folder.width)))

    def _parsed(self) -> Template:
        template = parse(self.template, self.model.path)
        if not template.ends_with_query:
            problem = f"template {self.template!r} should end with {{query}}, whose tokens count"
            raise ModelError(self.model.path, problem)
        return template


@dataclass(frozen=True)
class _Scorer:
    prompter: Prompter
    loop: "Loop"

    def __call__(self, queries: pa.Array, texts: pa.Array) -> Scored:
        from operators.encode.loop import Ragged

        strings = [list(column.to_numpy(zero_copy_only=False)) for column in (queries, texts)]
        found = encode_prompts(self.prompter, *strings)
        unfit = (found.leading == 0) | (found.leading >= found.lengths)
        logits = self.loop.encode_unit(Ragged(found.ids, found.offsets, found.leading))[:, 0]
        return Scored(logits, unfit, _NO_ROOM)
