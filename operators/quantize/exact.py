"""Products whose bits depend on their two vectors alone: sums that are exact in any order."""

import numpy as np
import numpy.typing as npt

from operators.quantize.kernels import Matrix, Rows

Products = npt.NDArray[np.float64]

_BITS = 26
"""Of a value on its vector's grid: by Cauchy-Schwarz no sum of products then passes 2**53."""
_ROWS = 4096
"""Rows compared with all codewords at once: 8 MiB of products with 256 of them."""
_SMALLEST = 1e-150


def exact_dots(rows: Matrix, words: Matrix) -> Products:
    """The (n, k) dot products of (n, dim) rows and (k, dim) words.

    Both are rounded to grids fine enough for single precision and coarse enough that float64
    adds their products without an error. So neither the other rows nor the blocks and threads of
    the multiplication reach a bit of the answer, and neither do they reach a code made from it.
    """
    (left, low), (right, high) = _on_grid(rows), _on_grid(words)
    found: Products = np.ldexp(left @ right.T, low[:, None] + high)
    return found


def nearest(rows: Matrix, words: Matrix) -> Rows:
    """The nearest word of each row by distance; ties go to the first, in any cut of the rows.

    A word's half squared length is its last coordinate, and -1 the row's.
    """
    half = np.einsum("kd,kd->k", words.astype(np.float64), words) / 2
    longest = max(float(half.max(initial=0)) ** 0.5, _SMALLEST)
    known, _ = _on_grid(np.column_stack([words, half / longest]), together=True)
    found = np.empty(len(rows), np.int64)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        asked, _ = _on_grid(np.column_stack([part, np.full(len(part), -longest)]))
        found[start : start + _ROWS] = (asked @ known.T).argmax(axis=1)
    return found


def turned(matrix: Matrix, rotation: Matrix) -> Matrix:
    """Each row multiplied by a (dim, dim) matrix: row i of the answer is `rotation @ matrix[i]`."""
    return exact_dots(matrix, rotation).astype(np.float32)


def _on_grid(
    matrix: npt.NDArray[np.floating], *, together: bool = False
) -> tuple[Products, npt.NDArray[np.int32]]:
    """Whole numbers and the exponent of two that each row of them is to be taken by."""
    wide = matrix.astype(np.float64)
    greatest = np.abs(wide).max(axis=1, initial=0)
    if together:
        greatest[:] = greatest.max(initial=0)
    _, exponent = np.frexp(greatest * np.sqrt(matrix.shape[1]))
    shift: npt.NDArray[np.int32] = (exponent - _BITS).astype(np.int32)
    return np.rint(np.ldexp(wide, -shift[:, None])), shift
