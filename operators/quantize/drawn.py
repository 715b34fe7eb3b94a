"""A uniform sample of vectors that any cut and order of the rows draws alike.

Its rows are the different ones whose digests are the least: what two parts keep, taken together
and drawn from again, is what the whole keeps.
"""

from abc import ABC, abstractmethod
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.quantize.kernels import Matrix
from operators.quantize.protocol import Artefact

LEARNED_FROM = 10_000
"""Rows that a scheme learns from at most: 39 for each of 256 words."""


def drawn(rows: Matrix, most: int = LEARNED_FROM) -> dict[str, npt.NDArray[Any]]:
    """At most so many different rows of a matrix, ordered by the digest of their values."""
    whole = np.ascontiguousarray(rows, np.float32) + np.float32(0)  # -0 becomes 0
    digests = b"".join(blake2b(row, digest_size=16).digest() for row in whole)
    first = np.unique(np.frombuffer(digests, "S16"), return_index=True)[1][:most]
    return {"rows": whole[first]}


def both(one: Artefact, other: Artefact, most: int = LEARNED_FROM) -> dict[str, npt.NDArray[Any]]:
    """What `drawn` gives for the rows of both; associative and commutative to the last bit."""
    return drawn(np.vstack([one["rows"], other["rows"]]), most)


class Sampled(ABC):
    """What a scheme that learns from such a sample shares: all of it but `finish`."""

    def fit(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return self.finish(self.partial(sample))

    def partial(self, sample: Matrix) -> dict[str, npt.NDArray[Any]]:
        return drawn(sample)

    def merge(self, one: Artefact, other: Artefact) -> dict[str, npt.NDArray[Any]]:
        return both(one, other)

    @abstractmethod
    def finish(self, state: Artefact) -> dict[str, npt.NDArray[Any]]:
        """What the sample, in `rows`, teaches."""
