"""The mean of a document's passages."""

import numpy as np

from operators.aggregate.states import Groups, States


def joined(states: States, groups: Groups) -> States:
    """The mean over all passages, each counting once: duplicates of all of them change nothing."""
    counts = groups.total(states.counts)
    vectors = groups.total(states.vectors * states.counts[:, None]) / counts[:, None]
    return States(counts, vectors, np.zeros_like(vectors))
