"""Token vectors as codes: nearer with more bits, row by row what the codec makes of each vector."""

import numpy as np
import pyarrow as pa
import pytest

from operators import columns
from operators.arrays import ragged_column, to_column
from operators.errors import ContractError, TableError
from operators.quantize.artefact import digest_of
from operators.quantize.codes import decoded
from operators.quantize.quantize import Quantize
from operators.quantize.token_codes import QuantizeTokens, decoded_tokens

DIM = 8
LENGTHS = [3, 0, 400, 1, 200]
BOUNDS = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int32)


@pytest.fixture(scope="module")
def vectors():
    matrix = np.random.default_rng(1).standard_normal((sum(LENGTHS), DIM)).astype(np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def table(matrix):
    lists = ragged_column(matrix.reshape(-1), BOUNDS * DIM)
    schema = pa.schema([columns.ID, columns.token_vectors(DIM)])
    return pa.table([pa.array(list("abcde")), lists], schema=schema)


def coded(folder, matrix, **fields):
    """The coded table and what decodes it."""
    learned = QuantizeTokens(**fields).fit(table(matrix))
    file = folder / f"{digest_of(learned)}.safetensors"
    file.write_bytes(learned)
    step = QuantizeTokens(**fields, artefact=str(file))
    with step.open() as quantize:
        out = quantize(table(matrix))
    assert out.schema.equals(step.bind(table(matrix).schema), check_metadata=True)
    return out, learned


def restored(out, learned):
    field = out.schema.field("token_codes")
    return decoded_tokens(out["token_codes"], field, learned)


def test_more_bits_lie_nearer_and_rows_keep_their_vectors(tmp_path, vectors):
    errors = []
    for nbits in (1, 2, 4):
        found, bounds = restored(*coded(tmp_path, vectors, nbits=nbits))
        assert bounds.tolist() == BOUNDS.tolist()
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
        errors.append(float(np.square(found - vectors).mean()))
    assert errors[0] > errors[1] > errors[2]


def test_a_vector_is_coded_as_if_it_were_alone_in_its_row(tmp_path, vectors):
    out, learned = coded(tmp_path, vectors)
    schema = pa.schema([columns.embedding(DIM)])
    single = pa.table([to_column(vectors)], schema=schema)
    uri = str(tmp_path / f"{digest_of(learned)}.safetensors")
    with Quantize(scheme="residual-codec", artefact=uri).open() as quantize:
        alone = decoded(quantize(single), "codes", learned)
    assert np.array_equal(restored(out, learned)[0], alone)


def test_a_row_that_is_not_finite_is_put_aside(tmp_path, vectors):
    broken = vectors.copy()
    _, learned = coded(tmp_path, vectors)
    broken[BOUNDS[3]] = np.nan
    step = QuantizeTokens(artefact=str(tmp_path / f"{digest_of(learned)}.safetensors"))
    with step.open() as quantize:
        errors = quantize(table(broken))["error"].to_pylist()
    assert errors == [None, None, None, "a token vector is not finite", None]


def test_what_another_fit_learned_is_refused(tmp_path, vectors):
    out, _ = coded(tmp_path, vectors)
    _, other = coded(tmp_path, vectors, nbits=4)
    with pytest.raises(TableError, match="its bytes have digest"):
        restored(out, other)


def test_what_was_learned_from_vectors_of_another_length_is_refused_when_it_is_bound(
    tmp_path, vectors
):
    _, learned = coded(tmp_path, vectors)
    step = QuantizeTokens(artefact=str(tmp_path / f"{digest_of(learned)}.safetensors"))
    with pytest.raises(ContractError, match=r"has vectors of 16 \(.*; `run --refit` learns anew"):
        step.bind(pa.schema([columns.ID, columns.token_vectors(16)]))
