from pathlib import Path

import numpy as np
import pytest

from operators.errors import TableError
from operators.quantize.artefact import SUFFIX, digest_of, fetched, named_digest, packed, unpacked

LEARNED = {"center": np.array([1, 2], np.float32), "spread": np.array([3, 4], np.float32)}


def stored(folder: Path, data: bytes) -> Path:
    path = folder / (digest_of(data) + SUFFIX)
    path.write_bytes(data)
    return path


def test_an_artefact_comes_back_from_its_file(tmp_path) -> None:
    found = fetched(str(stored(tmp_path, packed(LEARNED))))
    assert set(found) == set(LEARNED)
    assert all(np.array_equal(found[name], LEARNED[name]) for name in LEARNED)


def test_the_same_arrays_give_the_same_bytes_in_any_order() -> None:
    assert packed(dict(reversed(LEARNED.items()))) == packed(LEARNED)
    assert len(digest_of(packed(LEARNED))) == 32


def test_a_changed_file_is_refused_by_name(tmp_path) -> None:
    path = stored(tmp_path, packed(LEARNED))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(TableError, match=f"{path.name}: its bytes have digest"):
        fetched(str(path))


def test_bytes_that_are_no_safetensors_are_refused(tmp_path) -> None:
    with pytest.raises(TableError, match="not a safetensors file"):
        fetched(str(stored(tmp_path, b"\x80\x04 a pickle, perhaps")))


def test_nothing_learned_is_no_file() -> None:
    assert packed({}) == b""
    assert digest_of(b"") == named_digest("") == ""
    assert fetched("") == unpacked(b"", "", "here") == {}


def test_a_missing_artefact_is_named() -> None:
    with pytest.raises(TableError, match="column bits: its bytes have digest none, not ab"):
        unpacked(b"", "ab", "column bits")


def test_only_the_name_tells_the_digest() -> None:
    assert named_digest("s3://bucket/a/0f.safetensors") == named_digest("/b/0f.safetensors") == "0f"
