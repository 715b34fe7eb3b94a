"""Why a row cannot be used: one reason a row, the same words whatever the format."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute

pc: Any = pyarrow.compute  # the stubs know neither Python scalars as operands nor every function


def kind_of(error: str) -> str:
    """The kind of a reason, for counting: what stands before its detail."""
    return error.partition(":")[0]


def scrub(
    names: Sequence[str], arrays: Sequence[pa.Array], errors: pa.Array
) -> tuple[list[pa.Array], pa.Array]:
    """Null what is not UTF-8, which Arrow itself does not check, and say so in `errors`."""
    clean = []
    for name, array in zip(names, arrays, strict=True):
        broken = _broken_rows(array)
        if broken:
            mask = np.zeros(len(array), bool)
            mask[broken] = True
            array = _without(array, mask)
            reason = pc.if_else(pa.array(mask), f"not UTF-8: column {name!r}", None)
            errors = pc.coalesce(errors, reason)
        clean.append(array)
    return clean, errors


def first_errors(ids: pa.Array, text: pa.Array, errors: pa.Array, longest: int) -> pa.Array:
    """The first reason against each row, null for a good one; reasons a reader found come first."""
    size = pc.binary_length(text)
    too_long = pc.binary_join_element_wise(
        "text is too long: ",
        pc.cast(size, pa.string()),
        f" bytes, more than max_text_bytes {longest}",
        "",
    )
    first: pa.Array = pc.coalesce(
        errors,
        _reason(ids.is_null(), "id is null"),
        _reason(_is_blank(ids), "id is empty"),
        _reason(text.is_null(), "text is null"),
        _reason(_is_blank(text), "text is empty"),
        pc.if_else(pc.greater(size, longest), too_long, pa.scalar(None, pa.string())),
    )
    return first


def _reason(mask: pa.Array, reason: str) -> pa.Array:
    picked: pa.Array = pc.if_else(mask, reason, pa.scalar(None, pa.string()))
    return picked


def _is_blank(array: pa.Array) -> pa.Array:
    blank: pa.Array = pc.equal(pc.binary_length(pc.utf8_trim_whitespace(array)), 0)
    return blank


def _broken_rows(array: pa.Array) -> list[int]:
    """Positions of the rows that do not validate, found by halving."""
    pending, broken = [(0, len(array))], []
    while pending:
        start, stop = pending.pop()
        if _is_valid(array.slice(start, stop - start)):
            continue
        if stop - start == 1:
            broken.append(start)
            continue
        middle = (start + stop) // 2
        pending += [(start, middle), (middle, stop)]
    return broken


def _is_valid(part: pa.Array) -> bool:
    try:
        pa.concat_arrays([part, part.slice(0, 0)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _without(array: pa.Array, mask: npt.NDArray[np.bool_]) -> pa.Array:
    """The array with the masked rows null; their bytes are gone, not merely hidden."""
    keep = np.where(mask, -1, np.arange(len(array)))
    return array.take(pa.array(keep, pa.int64(), mask=mask))
