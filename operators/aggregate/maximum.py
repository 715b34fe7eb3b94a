"""The greatest value that any passage of a document has, dimension by dimension."""

import numpy as np

from operators.aggregate.states import Groups, States


def joined(states: States, groups: Groups) -> States:
    """The element-wise maximum over all passages."""
    vectors = groups.greatest(states.vectors)
    return States(groups.total(states.counts), vectors, np.zeros_like(vectors))
