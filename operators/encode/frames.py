"""Texts in frames of prompt ids, and the network that reads them, for `token-prepending`."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from operators.encode import depth, probe, torch_backend, vocabulary
from operators.encode.changed import Changed
from operators.encode.embedder import Embedder
from operators.encode.head import Layer, layers
from operators.encode.loop import Loop, Ragged
from operators.encode.pooling import POOLINGS
from operators.encode.prepending import Prepending
from operators.encode.rows import Ends, Ids, Marks, ends, joined, same, shortened, sliced
from operators.encode.strategy import Opening
from operators.errors import ModelError
from operators.model import Folder
from operators.text.tokenizer import load

Matrix = npt.NDArray[np.float32]


class Found(NamedTuple):
    """The states of rows in one frame, and which rows it had to cut."""

    vectors: Matrix
    shorter: Marks


@dataclass(frozen=True)
class Frame:
    """Ids before and after a text; the one at `place` of those before is <PST>."""

    before: Ids
    after: Ids
    place: int

    def around(self, rows: Ragged, outer: Ends) -> Ragged:
        """Rows whose special tokens stay in front of the frame, and at the end are left out."""
        count = len(rows.lengths)
        leading = np.full(count, outer.leading, np.int32)
        first = sliced(rows, np.zeros_like(leading), leading)
        text = sliced(rows, leading, rows.lengths - np.int32(outer.trailing))
        return joined(first, same(self.before, count), text, same(self.after, count))


@dataclass(frozen=True)
class Framed:
    """A network for each frame, all with the same weights, and the layers behind the pooling."""

    folder: Folder
    outer: Ends
    known: int
    """Tokens that the model had: none of a text is <PST>, which is behind them."""
    frames: tuple[Frame, ...]
    loops: tuple[Loop, ...]
    layers: tuple[Layer, ...]

    @property
    def count(self) -> int:
        return len(self.frames)

    def prepared(self, number: int, rows: Ragged) -> tuple[Ragged, Marks]:
        """Rows in a frame, and which of them were cut to have room there."""
        frame, model = self.frames[number], self.loops[0].forward.model
        vocabulary.check(rows.ids, self.known, model)
        room = self.folder.max_length - len(frame.before) - len(frame.after) + self.outer.trailing
        short, shorter = shortened(rows, room, self.folder, model)
        return frame.around(short, self.outer), shorter

    def states(self, number: int, rows: Ragged) -> Found:
        """The last token's states in a frame."""
        framed, shorter = self.prepared(number, rows)
        return Found(self.loops[number].encode_unit(framed), shorter)

    def finished(self, vectors: Matrix) -> Matrix:
        """The vectors behind the model's dense and normalize layers."""
        found = torch.from_numpy(vectors).to(self.loops[0].forward.device)
        with torch.inference_mode():
            for layer in self.layers:
                found = layer(found)
        return found.cpu().numpy().copy()


def opened(opening: Opening, templates: tuple[str, ...], within: range, out: int) -> Framed:
    """Load the network's first `out` layers and check it; ModelError where it is not as needed.

    <PST> is a token of its own, whose embedding is the mean of all others.
    """
    folder, model = opening.folder, opening.model
    has = depth.depth(folder, model, "token-prepending")
    network = torch_backend.network(folder, model, opening.precision)
    depth.cut(network, has, out)
    depth.without_final_norm(network, folder)
    own = vocabulary.table(network)
    token = vocabulary.add_tokens(network, own.float().mean(0, keepdim=True), model)
    plain = torch_backend.backend(network, folder, opening.device)
    chosen = tuple(depth.layers_of(network, out)[within.start : within.stop])
    frames = tuple(_frame(folder, template, token) for template in templates)
    outer = ends(folder)
    backends = [Changed(plain, Prepending(chosen, outer.leading + frame.place)) for frame in frames]
    last = (POOLINGS["last"],)
    forwards = [Embedder(model, folder.width, backend, last, ()) for backend in backends]
    loops = [Loop(forward, opening.budget) for forward in forwards]
    head = tuple(layers(opening.shape.head, opening.device, model))
    framed = Framed(folder, outer, token, frames, tuple(loops), head)
    probe.check_vectors(folder, forwards[0], lambda rows: framed.prepared(0, rows)[0])
    if chosen:
        _check_prepends(framed, replace(forwards[0], backend=plain))
    return framed


def _frame(folder: Folder, template: str, token: int) -> Frame:
    head, _, rest = template.partition("<PST>")
    between, _, tail = rest.partition("{text}")
    encoder = load(folder)
    first, middle, after = (
        np.array(encoder.encode(part, add_special_tokens=False).ids, np.int32)
        for part in (head, between, tail)
    )
    before = np.concatenate([first, np.array([token], np.int32), middle])
    return Frame(before, after, len(first))


def _check_prepends(framed: Framed, without: Embedder) -> None:
    """ModelError unless prepending changes a vector."""
    ids = np.array(probe.ids_of_text(framed.folder), np.int32)
    rows = Ragged(ids, np.array([0, len(ids)], np.int32))
    plain = Loop(without, framed.loops[0].budget).encode_unit(framed.prepared(0, rows)[0])
    if np.array_equal(plain, framed.states(0, rows).vectors):
        problem = f"nothing can be put in front of its layers: {framed.folder.model_type} "
        raise ModelError(without.model, problem + "does not call them one by one")
