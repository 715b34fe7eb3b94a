from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from deltalake import Schema
from pydantic import ValidationError

from operators import columns
from operators.arrays import to_column
from operators.base import Fitted, Operator, identity_fields
from operators.errors import ContractError, TableError
from operators.quantize.artefact import SUFFIX, digest_of
from operators.quantize.codes import FINEST_FIRST, decoded
from operators.quantize.quantize import NOT_FINITE, Quantize
from operators.quantize.registry import SCHEMES, scheme_class

MATRIX = np.random.default_rng(0).standard_normal((30, 10)).astype(np.float32)
MATRIX /= np.linalg.norm(MATRIX, axis=1, keepdims=True)


LEARN_NOTHING = ("fp16", "int8", "binary")


def table_of(matrix: np.ndarray) -> pa.Table:
    schema = pa.schema([columns.ID, columns.embedding(matrix.shape[1]), columns.N_TOKENS])
    ids = pa.array([f"d{row}" for row in range(len(matrix))])
    return pa.table([ids, to_column(matrix), pa.array(range(len(matrix)), pa.int32())], schema)


def coded(table: pa.Table, step: Quantize) -> pa.Table:
    with step.open() as transform:
        return transform(table)


def fitted(folder: Path, sample: pa.Table, **options: Any) -> Quantize:
    options = options or {"scheme": "binary", "center": "median"}
    data = Quantize(**options).fit(sample)
    path = folder / (digest_of(data) + SUFFIX)
    path.write_bytes(data)
    return Quantize(**options, artefact=str(path))


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Quantize]:
    """Every scheme's operator, those that learn fitted."""
    folder = tmp_path_factory.mktemp("learned")
    sample = table_of(MATRIX)
    free = {name: Quantize(scheme=name) for name in LEARN_NOTHING}
    learned = {
        name: fitted(folder, sample, scheme=name)
        for name in SCHEMES.keys() - {*LEARN_NOTHING, "truncate"}
    }
    return free | learned | {"truncate": Quantize(scheme="truncate", dims=4)}


def data_of(step: Quantize) -> bytes:
    return Path(step.artefact).read_bytes() if step.artefact else b""


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 30])
def test_the_output_has_the_schema_that_was_bound(scheme, keep, rows, steps) -> None:
    table = table_of(MATRIX[:rows])
    step = replace(steps[scheme], keep_embedding=keep)
    done = coded(table, step)
    assert done.schema.equals(step.bind(table.schema), check_metadata=True)
    assert done["id"].equals(table["id"])
    assert len(done) == rows


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_delta_table_can_hold_what_comes_out_and_keeps_how_to_decode_it(scheme, steps) -> None:
    bound = replace(steps[scheme], keep_embedding=True).bind(table_of(MATRIX).schema)
    held = pa.schema(Schema.from_arrow(bound).to_arrow())
    for field in bound:
        assert held.field(field.name).type == field.type
        assert (held.field(field.name).metadata or {}) == (field.metadata or {})


def test_floats_go_unless_they_are_kept() -> None:
    table = table_of(MATRIX)
    assert coded(table, Quantize()).column_names == ["id", "n_tokens", "codes", "scale"]
    kept = coded(table, Quantize(keep_embedding=True))
    assert kept["embedding"].equals(table["embedding"])


def test_two_steps_in_a_row_leave_bits_and_codes() -> None:
    bits = Quantize(scheme="binary", keep_embedding=True)
    both = coded(coded(table_of(MATRIX), bits), Quantize())
    assert both.column_names == ["id", "n_tokens", "bits", "codes", "scale"]
    assert np.array_equal(decoded(both, "bits") > 0, MATRIX > 0)
    assert np.allclose(decoded(both, "codes"), MATRIX, atol=0.02)


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("pq", "int8", "codes by pq already; a table holds one column of codes and one of bits"),
        ("int8", "pq", "codes by int8 already"),
        ("rabitq", "binary", "bits by rabitq already"),
    ],
)
def test_a_second_scheme_does_not_replace_the_codes_of_the_first(first, second, found) -> None:
    coded_once = Quantize(scheme=first, keep_embedding=True).bind(table_of(MATRIX).schema)
    with pytest.raises(ContractError, match=found):
        Quantize(scheme=second).bind(coded_once)


def test_a_column_of_the_source_is_not_taken_for_the_scale_of_codes() -> None:
    named = table_of(MATRIX).schema.append(pa.field("scale", pa.string()))
    with pytest.raises(ContractError, match="scale already"):
        Quantize().bind(named)
    assert "scale" in Quantize(scheme="binary").bind(named).names


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dims", [None, 4])
def test_codes_of_vectors_that_were_cut_before_say_of_how_many_dimensions(scheme, dims) -> None:
    cut = coded(table_of(MATRIX), Quantize(scheme="truncate", dims=6)).schema
    dims = dims or (4 if scheme == "truncate" else None)
    bound = Quantize(scheme=scheme, dims=dims).bind(cut)
    field = bound.field(next(name for name in FINEST_FIRST if name in bound.names))
    assert (columns.dim_of(field), columns.truncated_from(field)) == (dims or 6, 10)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_row_is_coded_the_same_in_any_unit(scheme, steps) -> None:
    whole = coded(table_of(MATRIX), steps[scheme])
    for size in (1, 7, 29):
        parts = [
            coded(table_of(MATRIX).slice(start, size), steps[scheme])
            for start in range(0, 30, size)
        ]
        assert pa.concat_tables(parts).combine_chunks().equals(whole)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_rejected_and_the_others_are_as_without_it(
    scheme, bad, steps
) -> None:
    broken = MATRIX.copy()
    broken[4, 2] = bad
    step = steps[scheme]
    done = coded(table_of(broken), step)
    assert done["error"].drop_null().unique().to_pylist() == [NOT_FINITE]
    assert done["error"].is_valid().to_numpy().nonzero()[0] == [4]
    assert np.isfinite(decoded(done, artefact=data_of(step))).all()
    good = done.drop_columns("error").filter(done["error"].is_null())
    expected = coded(table_of(np.delete(MATRIX, 4, axis=0)), step)
    assert good.drop_columns(["id", "n_tokens"]).equals(expected.drop_columns(["id", "n_tokens"]))


def test_an_earlier_reason_to_reject_a_row_stays() -> None:
    broken = MATRIX[:3].copy()
    broken[:2] = np.nan
    errors = pa.array(["earlier", None, None], pa.string())
    done = coded(table_of(broken).append_column(columns.ERROR, errors), Quantize())
    assert done["error"].to_pylist() == ["earlier", NOT_FINITE, None]


def test_medians_are_fitted_stored_and_applied(tmp_path) -> None:
    shifted = table_of(MATRIX + 5)
    done = coded(shifted, fitted(tmp_path, shifted))
    data = next(tmp_path.iterdir()).read_bytes()
    levels = decoded(done, "bits", data)
    assert np.array_equal(
        levels > np.median(MATRIX + 5, axis=0), np.median(MATRIX, axis=0) < MATRIX
    )
    assert done.schema.field("bits").metadata[b"corpusmill.artefact"] == digest_of(data).encode()


def test_fitting_the_same_sample_twice_gives_the_same_bytes() -> None:
    step = Quantize(scheme="binary", center="median")
    assert step.fit(table_of(MATRIX)) == step.fit(table_of(MATRIX))
    assert step.fit(table_of(MATRIX)) != step.fit(table_of(MATRIX[1:]))


def test_rows_that_are_not_finite_teach_nothing() -> None:
    step = Quantize(scheme="binary", center="median")
    broken = np.vstack([MATRIX, np.full((1, 10), np.nan, np.float32)])
    assert step.fit(table_of(broken)) == step.fit(table_of(MATRIX))
    with pytest.raises(TableError, match="no finite vector to learn from"):
        step.fit(table_of(broken[30:]))


@pytest.mark.parametrize("scheme", LEARN_NOTHING)
def test_schemes_that_learn_nothing_fit_to_nothing(scheme) -> None:
    assert Quantize(scheme=scheme).fit(table_of(MATRIX)) == b""


def test_a_scheme_that_learns_is_not_opened_before_it_is_fitted() -> None:
    with (
        pytest.raises(TableError, match="has no artefact; fit it first"),
        Quantize(scheme="binary", center="median").open(),
    ):
        pass


def test_a_changed_artefact_is_refused_before_a_row_is_coded(tmp_path) -> None:
    step = fitted(tmp_path, table_of(MATRIX))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(TableError, match="its bytes have digest"), step.open():
        pass


@pytest.mark.parametrize("scheme", [name for name in SCHEMES if scheme_class(name)().learns])
def test_what_was_learned_from_vectors_of_another_length_is_refused_when_it_is_bound(
    scheme, steps
) -> None:
    wide = table_of(np.hstack([MATRIX, MATRIX]))
    with pytest.raises(ContractError, match=r"has vectors of 20 \(.*\); `run --refit` learns anew"):
        steps[scheme].bind(wide.schema)
    assert replace(steps[scheme], dims=10).bind(wide.schema)


def test_a_vector_column_must_be_there_and_say_its_dimensions() -> None:
    with pytest.raises(ContractError, match="needs column 'embedding'"):
        Quantize().bind(pa.schema([columns.ID]))
    with pytest.raises(ContractError, match="has embedding as list<item: double>"):
        Quantize().bind(pa.schema([pa.field("embedding", pa.list_(pa.float64()))]))
    with pytest.raises(ContractError, match="dimensions"):
        Quantize().bind(pa.schema([pa.field("embedding", pa.list_(pa.float32()))]))


def test_a_misspelt_scheme_or_a_foreign_option_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValidationError, match="did you mean 'int8'"):
        Quantize(scheme="int9")
    with pytest.raises(ValidationError, match="scheme 'int8' has no option 'center'"):
        Quantize(center="median")
    with pytest.raises(ValidationError, match="scheme 'pq' has no option 'stages'"):
        Quantize(scheme="pq", stages=4)
    with pytest.raises(ValidationError, match="'truncate' needs 'dims'"):
        Quantize(scheme="truncate")


def test_what_cannot_be_cut_is_refused_when_the_plan_is_bound() -> None:
    schema = table_of(MATRIX).schema
    with pytest.raises(ContractError, match="as 11 dimensions or more, but its input has"):
        Quantize(dims=11).bind(schema)
    with pytest.raises(ContractError, match="dimensions that 4 blocks divide"):
        Quantize(scheme="pq", blocks=4).bind(schema)
    assert Quantize(scheme="pq", blocks=4, dims=8).bind(schema).names == ["id", "n_tokens", "codes"]


def test_options_that_are_not_given_are_no_part_of_the_identity() -> None:
    before = {"scheme": "int8", "center": None, "keep_embedding": False, "artefact": ""}
    assert identity_fields(Quantize()) == before
    assert identity_fields(Quantize(dims=4)) == before | {"dims": 4}
    assert identity_fields(Quantize(scheme="rvq", stages=3))["stages"] == 3


def test_it_is_an_operator_that_can_be_fitted() -> None:
    assert isinstance(Quantize(), Operator)
    assert isinstance(Quantize(), Fitted)
    assert not Quantize().learns
    assert Quantize(scheme="binary", center="median").learns
    assert hash(Quantize()) == hash(Quantize(scheme="int8"))
