"""Windows of at most so many tokens over one text, ending at sentences, steady under edits.

A sentence ends at a full stop, exclamation or question mark or ellipsis (closing quotes and
brackets included) before white space and anything but a letter from a to z, at the full-width
forms of these marks wherever they stand, and at a blank line.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Count = Callable[[str], int]

_CLOSERS = r"[\"'\u201d\u2019\u00bb)\]]"
_OPENERS = r"[\"'\u201c\u2018\u00ab(\[]"
_SENTENCE_END = re.compile(
    rf"(?<![.!?\u2026])[.!?\u2026]++{_CLOSERS}*+(?=\s++{_OPENERS}*+[^\Wa-z_])"
    r"|[\u3002\uff01\uff1f]++"
    r"|(?=\n[^\S\n]*\n)"
)
_IS_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])
_CONTEXT = 32
"""Characters before a place that choose it among others: all that an edit can touch is near it."""


def windows(text: str, offsets: Places, most: int, overlap: int, count: Count) -> Places:
    """Character ranges [start, stop) of the windows, an (n, 2) matrix, in order.

    `offsets` is the (tokens, 2) matrix of the tokens' character ranges; `count` says how many
    tokens a part of the text has on its own, which may be more than it has in its place. Every
    character but white space at the ends of windows lies in one. A window ends in its last third:
    at a sentence's end, else a word's, and of several at the one whose text before it has the
    smallest hash, so that windows after an edit soon fall as they did. The next one starts at the
    first sentence, else word, of the last `overlap` tokens. A single character is never cut.
    """
    if not len(offsets) or not text.strip():
        low, high = _trimmed(text, 0, len(text))
        return np.array([(low, high) if low < high else (0, len(text))], np.int64)
    chart = Chart(text, offsets)
    found: list[tuple[int, int]] = []
    start, stop = 0, _fitting(chart, 0, most, count)
    while True:
        low, high = _trimmed(text, chart.char(start), chart.char(stop))
        if low < high:
            found.append((low, high))
        if stop == len(offsets):
            return np.array(found, np.int64).reshape(-1, 2)
        last = stop
        start = max(chart.first_cut(last - overlap, last), start + 1)
        stop = _fitting(chart, start, most, count)
        if stop <= last:  # nothing gained: go on without an overlap
            start, stop = last, _fitting(chart, last, most, count)


@dataclass(frozen=True)
class Chart:
    """Where a text may be cut, by token number."""

    text: str
    offsets: Places

    @cached_property
    def cuts(self) -> Places:
        """Tokens that start after all before them have ended."""
        starts, ends = self.offsets[1:, 0], np.maximum.accumulate(self.offsets[:-1, 1])
        return np.flatnonzero((starts >= ends) & (starts > 0)) + 1

    @cached_property
    def sentences(self) -> Places:
        """Cuts where a sentence starts."""
        ends = [match.end() for match in _SENTENCE_END.finditer(self.text)]
        starts = np.maximum.accumulate(self.offsets[:, 0])
        tokens = np.searchsorted(starts, np.array(ends, np.int64))
        return np.intersect1d(tokens, self.cuts)

    @cached_property
    def words(self) -> Places:
        """Cuts beside white space."""
        codes = np.frombuffer(self.text.encode("utf-32-le", "surrogatepass"), np.uint32)
        space = _IS_SPACE[np.minimum(codes, len(_IS_SPACE) - 1)]
        at = self.offsets[self.cuts, 0]
        beside: Places = self.cuts[space[at - 1] | space[np.minimum(at, len(space) - 1)]]
        return beside

    def char(self, token: int) -> int:
        """Where the token's part of the text starts; what no token covers goes before it."""
        if token == 0:
            return 0
        return int(self.offsets[token, 0]) if token < len(self.offsets) else len(self.text)

    def first_cut(self, low: int, high: int) -> int:
        """The first sentence, else word, else cut, among tokens [low, high); `high` without one."""
        for places in (self.sentences, self.words, self.cuts):
            found = _between(places, low, high)
            if len(found):
                return int(found[0])
        return high

    def last_cut(self, start: int, most: int) -> int:
        """Where a window of at most `most` tokens from `start` ends."""
        limit = start + most
        if limit >= len(self.offsets):
            return len(self.offsets)
        for places in (self.sentences, self.words):
            found = _between(places, limit - most // 3, limit + 1)
            if len(found):
                return min((int(place) for place in reversed(found)), key=self._draw)
        found = _between(self.cuts, start + 1, limit + 1)
        if len(found):
            return int(found[-1])
        beyond = self.cuts[np.searchsorted(self.cuts, limit) :]
        return int(beyond[0]) if len(beyond) else len(self.offsets)

    def _draw(self, token: int) -> bytes:
        at = self.char(token)
        before = self.text[max(at - _CONTEXT, 0) : at].encode("utf-8", "surrogatepass")
        return hashlib.blake2b(before, digest_size=8).digest()


def _fitting(chart: Chart, start: int, most: int, count: Count) -> int:
    """The end of the window from `start` whose own text has at most `most` tokens."""
    budget = most
    while True:
        stop = chart.last_cut(start, budget)
        if start == 0 and stop == len(chart.offsets):
            return stop
        low, high = _trimmed(chart.text, chart.char(start), chart.char(stop))
        excess = count(chart.text[low:high]) - most
        if excess <= 0 or budget == 1:
            return stop
        budget = max(min(budget, stop - start) - excess, 1)


def _between(places: Places, low: int, high: int) -> Places:
    return places[np.searchsorted(places, low) : np.searchsorted(places, high)]


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """The range without white space at its ends."""
    part = text[start:stop]
    low = start + len(part) - len(part.lstrip())
    return low, low + len(part.strip())
