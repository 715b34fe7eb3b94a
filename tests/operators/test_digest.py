"""Digests of content."""

import hashlib
import os

import pytest

from operators import digest


def test_a_file_is_its_sha256(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    assert digest.of_file(path) == hashlib.sha256(b"abc").hexdigest()


def test_a_changed_file_is_read_again_though_its_size_stays(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"abc")
    first = digest.of_file(path)
    path.write_bytes(b"abd")
    os.utime(path, ns=(1, 1))
    assert digest.of_file(path) != first


def test_the_order_of_keys_and_the_spelling_of_json_do_not_matter():
    assert digest.of_json({"a": 1, "b": [2, 3]}) == digest.of_json({"b": (2, 3), "a": 1})
    assert digest.of_json({"a": 1}) != digest.of_json({"a": 2})


def test_a_value_without_a_stable_form_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest.of_json({"a": float("nan")})
