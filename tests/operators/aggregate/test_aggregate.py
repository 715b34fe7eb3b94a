"""Passages' vectors to one row a document: laws of sets, and the columns of the table."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators import columns
from operators.aggregate.aggregate import Aggregate, states_of
from operators.aggregate.gde import wasserstein
from operators.aggregate.registry import METHODS
from operators.aggregate.states import States
from operators.arrays import to_column, to_matrix
from operators.base import Merges, Operator
from operators.errors import ConfigError, ContractError
from operators.quantize.quantize import Quantize
from operators.text.passages import Passages

DIM = 5
SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=6)
SEEDS = st.integers(0, 2**16)
NAMES = pytest.mark.parametrize("method", METHODS)


def passages(sizes: list[int], seed: int = 0) -> pa.Table:
    """Unit vectors of documents p0, p1, ... that have so many passages."""
    drawn = np.random.default_rng(seed)
    matrix = drawn.standard_normal((sum(sizes), DIM)).astype(np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    parents = [f"p{n}" for n, size in enumerate(sizes) for _ in range(size)]
    return table_of(parents, matrix)


def table_of(parents: list[str | None], matrix: np.ndarray) -> pa.Table:
    rows = np.arange(len(parents))
    arrays = [
        pa.array([f"{parent}#{row}" for row, parent in enumerate(parents)]),
        pa.array(parents, pa.string()),
        pa.array([f"hash of {parent}".encode() for parent in parents]),
        pa.array([f"hash of row {row}".encode() for row in rows]),
        pa.array(["a.jsonl"] * len(parents)),
        pa.array(rows),
        to_column(matrix),
    ]
    fields = [
        columns.ID,
        columns.PARENT_ID,
        columns.PARENT_HASH,
        columns.CONTENT_HASH,
        columns.SOURCE_FILE,
        columns.SOURCE_ROW,
        columns.embedding(DIM),
    ]
    return pa.table(arrays, schema=pa.schema(fields))


def aggregated(table: pa.Table, method: str = "mean", **fields: object) -> pa.Table:
    with Aggregate(method=method, **fields).open() as aggregate:
        return aggregate(table)


def states(table: pa.Table) -> States:
    return states_of(table.sort_by("id"))


def same(one: States, other: States, *, counts: bool = True) -> None:
    np.testing.assert_allclose(one.vectors, other.vectors, atol=1e-6)
    np.testing.assert_allclose(one.deviations, other.deviations, atol=1e-5)
    if counts:
        np.testing.assert_array_equal(one.counts, other.counts)


@NAMES
@settings(max_examples=20)
@given(sizes=SIZES, seed=SEEDS)
def test_the_order_of_passages_changes_nothing(method, sizes, seed):
    table = passages(sizes, seed)
    order = np.random.default_rng(seed).permutation(len(table))
    same(states(aggregated(table, method)), states(aggregated(table.take(order), method)))


@NAMES
@settings(max_examples=20)
@given(sizes=SIZES, seed=SEEDS, times=st.integers(2, 4))
def test_all_passages_again_change_nothing(method, sizes, seed, times):
    table = passages(sizes, seed)
    again = pa.concat_tables([table] * times)
    once, more = states(aggregated(table, method)), states(aggregated(again, method))
    same(once, more, counts=False)
    np.testing.assert_array_equal(more.counts, once.counts * times)


@NAMES
@settings(max_examples=20)
@given(sizes=SIZES, seed=SEEDS, cuts=st.lists(st.integers(0, 30), max_size=4))
def test_parts_in_any_units_join_to_what_one_unit_gives(method, sizes, seed, cuts):
    table = passages(sizes, seed)
    table = table.take(np.random.default_rng(seed).permutation(len(table)))
    ends = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    parts = [aggregated(table.slice(a, b - a), method) for a, b in pairwise(ends)]
    joined = Aggregate(method=method).joined(pa.concat_tables(parts))
    whole = aggregated(table, method)
    assert joined["id"].equals(whole["id"])
    assert joined["source_row"].equals(whole["source_row"])
    same(states(joined), states(whole))


@NAMES
@pytest.mark.parametrize("sizes", [[], [1], [2, 3]])
def test_the_table_is_what_bind_says_with_vectors_of_length_one(method, sizes):
    step = Aggregate(method=method)
    assert isinstance(step, Operator)
    assert isinstance(step, Merges)
    table = passages(sizes)
    out = aggregated(table, method)
    assert out.schema.equals(step.bind(table.schema), check_metadata=True)
    lengths = np.linalg.norm(to_matrix(out["embedding"], DIM), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    assert out["passages"].to_pylist() == sizes


@NAMES
def test_documents_of_passages_that_were_cut_say_of_how_many_dimensions(method):
    with Quantize(scheme="truncate", dims=3).open() as cut:
        out = aggregated(cut(passages([2, 3])), method)
    joined = Aggregate(method=method).joined(out)
    for table in (out, joined):
        field = table.schema.field("embedding")
        assert (columns.dim_of(field), columns.truncated_from(field)) == (3, DIM)


def test_what_comes_out_is_what_the_words_say():
    matrix = np.array([[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, -1, 0, 0]], np.float32)
    table = table_of(["a", "a", "b"], matrix)
    mean, top, gde = (states(aggregated(table, method)) for method in ("mean", "max", "gde"))
    np.testing.assert_allclose(mean.vectors[0], [0.5, 0.5, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(top.vectors[0], [1, 1, 0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(gde.deviations, [[0.5, 0.5, 0, 0, 0], [0] * 5], atol=1e-7)
    one = aggregated(table)
    assert one["id"].to_pylist() == ["a", "b"]
    assert one["content_hash"].to_pylist() == [b"hash of a", b"hash of b"]
    assert one["source_row"].to_pylist() == [0, 2]
    np.testing.assert_allclose(one["length"].to_numpy(), [0.5**0.5, 1], atol=1e-6)


def test_opposite_passages_leave_a_vector_of_zeros():
    matrix = np.array([[1, 0, 0, 0, 0], [-1, 0, 0, 0, 0]], np.float32)
    out = aggregated(table_of(["a", "a"], matrix))
    assert to_matrix(out["embedding"], DIM).tolist() == [[0] * 5]
    assert out["length"].to_pylist() == [0]


def test_a_row_without_a_parent_stands_for_itself():
    out = aggregated(table_of([None, "a", None], np.eye(3, DIM, dtype=np.float32)))
    assert out["id"].to_pylist() == ["None#0", "a", "None#2"]


def test_another_column_may_group_and_others_be_kept():
    table = passages([2, 1]).append_column("site", pa.array(["s", "s", "t"]))
    out = aggregated(table, by="site", keep=("parent_id",))
    assert out.column_names[:3] == ["id", "parent_id", "source_file"]
    assert out.select(["id", "parent_id", "passages"]).to_pydict() == {
        "id": ["s", "t"],
        "parent_id": ["p0", "p1"],
        "passages": [2, 1],
    }


def test_codes_are_decoded_and_learned_ones_refused():
    table = passages([2, 3])
    with Quantize(scheme="int8").open() as quantize:
        coded = quantize(table)
    found, floats = states(aggregated(coded)), states(aggregated(table))
    np.testing.assert_allclose(found.vectors, floats.vectors, atol=0.02)
    learned = columns.codes(DIM, "int8", "0123")
    with pytest.raises(ContractError, match="codes that decode without"):
        Aggregate().bind(pa.schema([columns.ID, columns.PARENT_ID, learned]))


def test_what_it_cannot_group_or_keep_is_refused():
    schema = passages([1]).schema
    with pytest.raises(ContractError, match="aggregate needs column 'site' as string"):
        Aggregate(by="site").bind(schema)
    with pytest.raises(ContractError, match="needs column 'title' as a column to keep"):
        Aggregate(keep=("title",)).bind(schema)
    with pytest.raises(ContractError, match="as a column of its own"):
        Aggregate(keep=("embedding",)).bind(schema)
    with pytest.raises(ValidationError, match="method"):
        Aggregate(method="median")


def test_no_step_may_follow_it():
    with pytest.raises(ConfigError, match="quantize cannot follow it"):
        Aggregate().followed((Quantize(scheme="int8"),))
    assert Aggregate().followed(()) == Aggregate()


@settings(max_examples=20)
@given(sizes=SIZES, others=SIZES, seed=SEEDS)
def test_the_distance_of_distributions_is_a_squared_metric_over_diagonals(sizes, others, seed):
    one, other = (
        states(aggregated(passages(sizes, seed), "gde")),
        states(aggregated(passages(others, seed + 1), "gde")),
    )
    np.testing.assert_allclose(np.diag(wasserstein(one, one)), 0, atol=1e-9)
    apart = wasserstein(one, other)
    assert (apart >= 0).all()
    np.testing.assert_allclose(apart, wasserstein(other, one).T, atol=1e-9)
    first, second = np.diag(one.deviations[0] ** 2), np.diag(other.deviations[0] ** 2)
    root = np.sqrt(np.sqrt(first) @ second @ np.sqrt(first))
    bures = np.trace(first + second - 2 * root)
    means = ((one.vectors[0] - other.vectors[0]) ** 2).sum()
    np.testing.assert_allclose(apart[0, 0], means + bures, atol=1e-9)


def test_documents_that_deviate_alike_are_as_far_as_their_means():
    drawn = np.random.default_rng(0)
    one = States(np.ones(3), drawn.standard_normal((3, DIM)), np.full((3, DIM), 0.3))
    apart = wasserstein(one, one)
    expected = ((one.vectors[:, None] - one.vectors[None]) ** 2).sum(-1)
    np.testing.assert_allclose(apart, expected, atol=1e-9)


def test_the_passages_of_a_document_leave_their_step_in_one_table(tiny_model: Path):
    from operators.model import Model

    text = pa.array(["one sentence. " * 40, "short"])
    table = pa.table(
        {"id": ["a", "b"], "text": text, "content_hash": pa.array([b"x" * 16, b"y" * 16])}
    )
    with Passages(Model(str(tiny_model)), tokens=16, overlap=0).open() as cut:
        parents = cut(table)["parent_id"].to_pylist()
    assert parents == ["a"] * (len(parents) - 1) + ["b"]
    assert len(parents) > 3
