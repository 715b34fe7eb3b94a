"""Arrow columns and matrices."""

import numpy as np
import pytest

from operators.arrays import to_column


def test_a_matrix_of_more_values_than_offsets_count_is_refused():
    rows, dim = 1 << 11, 1 << 20
    with pytest.raises(OverflowError, match="2,048 lists of 1,048,576 values are more"):
        to_column(np.broadcast_to(np.int8(0), (rows, dim)))
