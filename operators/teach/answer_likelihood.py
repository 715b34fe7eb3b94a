"""A teacher that asks how much a document helps a model to the answer (LLM-Embedder's reward)."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa

from operators.encode.strategy import Precision
from operators.errors import ModelError
from operators.model import Model
from operators.teach.prompts import (
    Filled,
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

_TEMPLATE = "Knowledge: {text}\n\nQuestion: {query}\n\nAnswer: {answer}"
_NO_ROOM = "it has no answer, or query and answer leave no room for the text"


@dataclass(frozen=True)
class AnswerLikelihood:
    """The log-likelihood of the answer's tokens given the prompt before them (arXiv 2310.07554).

    The template ends with `{answer}`; no token of the prompt counts. `norm` is the mean of the
    tokens, as there, or their sum: then a long answer weighs more.
    """

    options: ClassVar[frozenset[str]] = frozenset({"template", "answer", "norm"})
    roles: ClassVar[frozenset[str]] = frozenset()

    model: Model
    precision: Precision = "fp32"
    answer: str = ""
    """The column of the queries' source that holds the answers."""
    template: str = _TEMPLATE
    norm: Literal["mean", "sum"] = "mean"

    def check(self) -> None:
        decoder_folder(self.model, "answer-likelihood")
        if not self.answer:
            problem = "answer-likelihood needs `answer`, a column of the queries with the answers"
            raise ModelError(self.model.path, problem)
        self._plain()

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop
        from operators.teach import probe
        from operators.teach.decoder import Decoder, likelihood, load

        folder = decoder_folder(self.model, "answer-likelihood")
        plain = prompter(folder, self._plain())
        network = load(folder, self.model.path, self.precision, device)
        measure = partial(likelihood, mean=self.norm == "mean")
        forward = Decoder(self.model.path, *network, measure)
        probe.check_decoder(folder, forward, self.precision, plain)
        loop = Loop(forward, budget or token_budget(device, folder.width))
        return _Scorer(plain, self.template, self.model.path, loop)

    def _plain(self) -> Template:
        """The template with the answer where a query's tokens count, and no question."""
        wrong = (
            f"template {self.template!r} should hold {{text}}, {{query}} and {{answer}} at its end"
        )
        if self.template.count("{query}") != 1 or self.template.count("{answer}") != 1:
            raise ModelError(self.model.path, wrong)
        template = _asking(self.template, "", self.model.path)
        if not template.ends_with_query:
            raise ModelError(self.model.path, wrong)
        return template


@dataclass(frozen=True)
class Asking:
    """Fills in (question, answer) and a text; the answer's tokens are those that count."""

    template: str
    model: str

    def filled(self, query: tuple[str, str], text: str) -> Filled:
        question, answer = query
        return _asking(self.template, question, self.model).filled(answer, text)


@dataclass(frozen=True)
class _Scorer:
    plain: Prompter
    template: str
    model: str
    loop: "Loop"

    def __call__(self, queries: pa.Array, texts: pa.Array, answers: pa.Array) -> Scored:
        from operators.encode.loop import Ragged

        asked, given, wanted = (
            list(column.to_numpy(zero_copy_only=False))
            for column in (queries, texts, answers.fill_null(""))
        )
        asking = Asking(self.template, self.model)
        filling = Prompter(self.plain.encoder, asking, self.plain.max_length)
        found = encode_prompts(filling, list(zip(asked, wanted, strict=True)), given)
        empty = np.array([not answer.strip() for answer in wanted], np.bool_)
        unfit = empty | (found.leading == 0) | (found.leading >= found.lengths)
        logits = self.loop.encode_unit(Ragged(found.ids, found.offsets, found.leading))[:, 0]
        return Scored(np.where(unfit, np.float32(0), logits), unfit, _NO_ROOM)


def _asking(template: str, question: str, model: str) -> Template:
    """The template with its question filled in; braces in a question stay what they are."""
    before, after = template.split("{query}")
    apart = parse(before + "\0" + after.replace("{answer}", "{query}"), model)
    first, second, last = (part.replace("\0", question) for part in apart.parts)
    return Template((first, second, last), apart.order)
