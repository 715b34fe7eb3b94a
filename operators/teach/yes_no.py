"""A teacher that is asked whether the document answers the query (U-MARVEL's reranker)."""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from operators.encode.strategy import Precision
from operators.errors import ModelError
from operators.model import Folder, Model
from operators.teach.prompts import Prompter, decoder_folder, encode_prompts, parse, prompter
from operators.teach.protocol import Scored, Scorer
from operators.text.tokenizer import load

if TYPE_CHECKING:
    import torch

    from operators.encode.loop import Loop

_TEMPLATE = (
    "Document: {text}\n\nQuestion: {query}\n\n"
    "Does the document answer the question? Answer Yes or No.\nAnswer:"
)
_NO_ROOM = "its query leaves no room for the text within the model's length"


@dataclass(frozen=True)
class YesNo:
    """log P(yes) - log P(no) of the next token after the prompt; its sigmoid is P(yes).

    A word counts with and without a space before it, where that is one token.
    """

    options: ClassVar[frozenset[str]] = frozenset({"template", "answers"})
    roles: ClassVar[frozenset[str]] = frozenset()

    model: Model
    precision: Precision = "fp32"
    template: str = _TEMPLATE
    answers: tuple[str, str] = ("Yes", "No")

    def check(self) -> None:
        folder = decoder_folder(self.model, "yes-no")
        parse(self.template, self.model.path)
        self._tokens(folder)

    def scorer(self, device: "torch.device", budget: int) -> Scorer:
        from operators.encode.device import token_budget
        from operators.encode.loop import Loop
        from operators.teach import probe
        from operators.teach.decoder import Decoder, agreement
        from operators.teach.decoder import load as load_network

        folder = decoder_folder(self.model, "yes-no")
        prompts = prompter(folder, parse(self.template, self.model.path))
        network = load_network(folder, self.model.path, self.precision, device)
        forward = Decoder(self.model.path, *network, partial(agreement, self._tokens(folder)))
        probe.check_decoder(folder, forward, self.precision, prompts)
        return _Scorer(prompts, Loop(forward, budget or token_budget(device, folder.width)))

    def _tokens(self, folder: Folder) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of both answers; ModelError where an answer is no single token of its own."""
        yes, no = (_single_tokens(folder, word) for word in self.answers)
        for word, ids in zip(self.answers, (yes, no), strict=True):
            if not ids or set(yes) & set(no):
                problem = f"its tokenizer has no token of its own for the answer {word!r}"
                raise ModelError(self.model.path, f"{problem}; name other answers")
        return yes, no


@dataclass(frozen=True)
class _Scorer:
    prompter: Prompter
    loop: "Loop"

    def __call__(self, queries: pa.Array, texts: pa.Array) -> Scored:
        from operators.encode.loop import Ragged

        strings = [list(column.to_numpy(zero_copy_only=False)) for column in (queries, texts)]
        found = encode_prompts(self.prompter, *strings)
        logits = self.loop.encode_unit(Ragged(found.ids, found.offsets))[:, 0]
        return Scored(logits, found.lengths == 0, _NO_ROOM)


def _single_tokens(folder: Folder, word: str) -> tuple[int, ...]:
    """The tokens that are the word, with or without a space before it."""
    encoder = load(folder)
    unknown = getattr(encoder.model, "unk_token", None)
    found = set()
    for variant in (word, " " + word):
        encoding = encoder.encode(variant, add_special_tokens=False)
        if len(encoding.ids) == 1 and encoding.tokens[0] != unknown:
            found.add(int(encoding.ids[0]))
    return tuple(sorted(found))
