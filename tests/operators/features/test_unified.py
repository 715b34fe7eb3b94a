"""Metadata as a vector: hashes that stay, salts by name, inner products that fall apart."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators import columns
from operators.arrays import to_column, to_matrix
from operators.base import Operator
from operators.errors import ContractError
from operators.features.hashing import bucket, signs
from operators.features.unified import Feature, UnifiedEmbedding

VALUES = st.lists(st.text(max_size=6) | st.none(), min_size=1, max_size=8)


def step(*features: Feature, **fields: object) -> UnifiedEmbedding:
    return UnifiedEmbedding(features=features or (Feature("site"), Feature("lang")), **fields)


def featured(table: pa.Table, by: UnifiedEmbedding) -> np.ndarray:
    with by.open() as transform:
        out = transform(table)
    assert out.schema.equals(by.bind(table.schema), check_metadata=True)
    return to_matrix(out[by.into], columns.dim_of(out.schema.field(by.into)))


def table_of(**values: list[object]) -> pa.Table:
    return pa.table({name: pa.array(column) for name, column in values.items()})


def test_it_is_an_operator_and_its_hashes_are_the_same_in_every_process():
    assert isinstance(step(), Operator)
    code = "from operators.features.hashing import bucket; print(bucket('site', 1, 'é', 1000))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {f"{bucket('site', 1, 'é', 1000)}\n"}
    assert bucket("site", 0, "a", 2**62) == 4456522590079440574


def test_a_value_of_two_features_has_two_vectors_and_equal_names_share_theirs():
    table = table_of(site=["en"], lang=["en"])
    apart = featured(table, step()).reshape(2, -1)
    assert (apart[0] != apart[1]).any()
    shared = featured(table, step(Feature("site", name="x"), Feature("lang", name="x")))
    np.testing.assert_array_equal(*shared.reshape(2, -1))


@settings(max_examples=25)
@given(sites=VALUES, seed=st.integers(0, 5), chunks=st.integers(1, 3))
def test_the_inner_product_is_the_sum_over_features_and_chunks(sites, seed, chunks):
    langs = [None if value is None else value[:1] for value in sites]
    table = pa.table({"site": pa.array(sites, pa.string()), "lang": pa.array(langs, pa.string())})
    both = featured(table, step(Feature("site", chunks), Feature("lang"), seed=seed))
    one = featured(table, step(Feature("site", chunks), seed=seed))
    other = featured(table, step(Feature("lang"), seed=seed))
    np.testing.assert_allclose(both @ both.T, one @ one.T + other @ other.T, atol=1e-5)
    equal = np.array([[a == b and bool(a) for b in sites] for a in sites])
    np.testing.assert_allclose((one @ one.T)[equal], chunks, atol=1e-5)


def test_a_feature_that_comes_later_moves_no_other():
    table = table_of(site=["a", "b"], lang=["en", "de"])
    before = featured(table, step(Feature("site")))
    after = featured(table, step(Feature("lang"), Feature("site")))
    np.testing.assert_array_equal(after[:, -before.shape[1] :], before)


def test_what_is_absent_is_zero_and_of_several_values_the_mean_counts():
    plain = featured(table_of(site=["a", "b", None, ""]), step(Feature("site")))
    assert not plain[2:].any()
    lists = pa.table({"site": pa.array([["a", "b"], [], None, ["b"]], pa.list_(pa.string()))})
    found = featured(lists, step(Feature("site")))
    np.testing.assert_allclose(found[0], plain[:2].mean(axis=0), atol=1e-7)
    assert not found[1:3].any()
    np.testing.assert_array_equal(found[3], plain[1])
    joined = featured(table_of(site=["a; b", ";"]), step(Feature("site", separator=";")))
    np.testing.assert_allclose(joined[0], found[0], atol=1e-7)
    assert not joined[1].any()


def test_an_integer_is_the_string_that_it_is_written_as():
    numbers = featured(table_of(site=[7, 12]), step(Feature("site")))
    words = featured(table_of(site=["7", "12"]), step(Feature("site")))
    np.testing.assert_array_equal(numbers, words)


def test_features_join_a_vector_by_their_scale():
    vectors = np.eye(2, 3, dtype=np.float32)
    table = table_of(site=["a", "b"]).append_column(columns.embedding(3), to_column(vectors))
    found = featured(table, step(Feature("site"), into="embedding", scale=0.5, width=4))
    assert found.shape == (2, 7)
    np.testing.assert_array_equal(found[:, :3], vectors)
    np.testing.assert_allclose(np.linalg.norm(found[:, 3:], axis=1), 0.5, atol=1e-6)


@pytest.mark.parametrize("width", [1, 16, 700])
def test_rows_of_the_table_are_signs_of_length_one_nearly_at_right_angles(width):
    table = signs(0, np.arange(200), width)
    np.testing.assert_allclose(np.linalg.norm(table, axis=1), 1, atol=1e-5)
    assert len(np.unique(np.abs(table))) == 1
    products = (table @ table.T)[~np.eye(200, dtype=bool)]
    assert abs(products.mean()) < 0.05
    np.testing.assert_allclose(products.std(), 1 / np.sqrt(width), rtol=0.1)
    np.testing.assert_array_equal(signs(0, np.array([7]), width)[0], table[7])
    assert (signs(1, np.arange(200), width) != table).any()


def test_no_rows_give_no_vectors():
    empty = pa.table({"site": pa.array([], pa.string())})
    assert featured(empty, step(Feature("site"))).shape == (0, 16)


def test_what_cannot_be_a_feature_is_refused():
    schema = pa.schema([pa.field("site", pa.float32()), pa.field("lang", pa.int64())])
    with pytest.raises(ContractError, match="column 'year' as strings, integers or lists"):
        step(Feature("year")).bind(schema)
    with pytest.raises(ContractError, match="has float"):
        step(Feature("site")).bind(schema)
    with pytest.raises(ContractError, match="for it has a separator"):
        step(Feature("lang", separator=",")).bind(schema)
    with pytest.raises(ContractError, match="vectors to join"):
        step(Feature("lang"), into="embedding").bind(schema)
    with pytest.raises(ValidationError, match="named twice"):
        step(Feature("site"), Feature("site"))
