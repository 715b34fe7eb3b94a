"""Vectors of length one."""

import numpy as np

from operators.quantize.kernels import Matrix

_ROUNDING = 1e-6


def unit_length(matrix: Matrix) -> Matrix:
    """The rows at length one; those that have it up to rounding, and zeros, stay as they are."""
    lengths = np.linalg.norm(matrix.astype(np.float64), axis=1)
    lengths[(np.abs(lengths - 1) < _ROUNDING) | (lengths == 0)] = 1
    scaled: Matrix = (matrix / lengths[:, None]).astype(np.float32)
    return scaled
