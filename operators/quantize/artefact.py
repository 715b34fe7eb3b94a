"""What a scheme learned, as one safetensors file named by the digest of its bytes."""

from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from operators.errors import ContractError, TableError
from operators.quantize.protocol import Artefact, Scheme
from operators.storage import uri as storage

SUFFIX = ".safetensors"


def digest_of(data: bytes) -> str:
    """128-bit blake2b of an artefact's bytes; empty for an empty artefact."""
    return blake2b(data, digest_size=16).hexdigest() if data else ""


def named_digest(uri: str) -> str:
    """The digest in the name `<digest>.safetensors`; empty for an empty URI."""
    return uri.rpartition("/")[2].removesuffix(SUFFIX)


def packed(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as safetensors bytes, the same for the same arrays; b"" for none."""
    return save(arrays) if arrays else b""


def unpacked(data: bytes, digest: str, place: str) -> Artefact:
    """The arrays of an artefact; TableError naming `place` where the bytes are others."""
    if digest_of(data) != digest:
        found = digest_of(data) or "none"
        raise TableError(place, f"its bytes have digest {found}, not {digest or 'none'}")
    if not data:
        return {}
    try:
        return load(data)
    except SafetensorError as error:
        raise TableError(place, f"not a safetensors file ({error})") from error


def fetched(uri: str) -> Artefact:
    """Read an artefact and check it against the digest in its name; empty for an empty URI."""
    return unpacked(storage.read_bytes(uri), named_digest(uri), uri) if uri else {}


def check_taken(operator: str, column: str, scheme: Scheme, dim: int, uri: str) -> None:
    """ContractError where an artefact was not learned from vectors of `dim` values."""
    if not uri:
        return
    try:
        scheme.apply(np.zeros((0, dim), np.float32), fetched(uri))
    except ValueError as error:
        needed = "vectors of as many values as those that it learned from"
        found = f"vectors of {dim:,} ({error}); `run --refit` learns anew"
        raise ContractError(operator, column, needed, found) from error
