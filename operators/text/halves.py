"""A text as a binary tree of its parts (TECHNIQUES `sharedllm-tree`)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.text.windows import Chart, Places


class Tree(NamedTuple):
    """Its nodes, level by level, each level in the order of the text; the first is the text."""

    places: Places
    """(n, 2) character ranges [start, stop)."""
    levels: npt.NDArray[np.int32]
    within: npt.NDArray[np.int64]
    """Which node each is a half of; -1 for the first."""


def halved(text: str, offsets: Places, most: int) -> Tree:
    """Halve a text until no part has more than `most` tokens; `offsets` as `windows` takes them.

    Both halves of a part make it up exactly, so the leaves make up the text, and so do the nodes
    of any level with the leaves above it. A part is cut in its middle half: at the sentence's end
    that is nearest to the middle, else a word's, else anywhere. A single character is never cut.
    """
    chart = Chart(text, offsets)
    nodes, levels, within = [(0, len(offsets))], [0], [-1]
    for number, (start, stop) in enumerate(nodes):  # grows while it is read
        at = _middle(chart, start, stop) if stop - start > most else stop
        if at < stop:
            nodes += [(start, at), (at, stop)]
            levels += [levels[number] + 1] * 2
            within += [number] * 2
    places = [
        (chart.char(start), len(text) if stop == len(offsets) else chart.char(stop))
        for start, stop in nodes
    ]
    return Tree(np.array(places, np.int64), np.array(levels, np.int32), np.array(within, np.int64))


def _middle(chart: Chart, start: int, stop: int) -> int:
    """The token at which a part is cut; `stop` where it cannot be."""
    quarter = (stop - start) // 4
    for places, low, high in (
        (chart.sentences, start + quarter, stop - quarter),
        (chart.words, start + quarter, stop - quarter),
        (chart.cuts, start + 1, stop),
    ):
        inside = places[(places >= max(low, start + 1)) & (places < high)]
        if len(inside):
            return int(inside[np.abs(2 * inside - start - stop).argmin()])
    return stop
