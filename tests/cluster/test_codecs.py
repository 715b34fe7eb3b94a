"""Every scheme from YAML to a committed table that is searched, by the local runner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from operators import columns
from operators.arrays import to_matrix, whole
from operators.errors import ContractError
from operators.mine.dense import describe, open_part
from operators.mine.pool import Asked
from operators.quantize.codes import decoded
from operators.quantize.prefix import prefix
from operators.quantize.registry import SCHEMES
from pipelines.config import parse
from tests.pipeline_builders import built, good_rows, lines, rows_of, vectors_phase, write_files

ROWS = 60
MORE: dict[str, dict[str, Any]] = {
    "truncate": {"dims": 12},
    "pq": {"blocks": 4},
    "rvq": {"stages": 4},
    "residual-codec": {"nbits": 4},
}


@pytest.fixture(scope="module")
def floats(tmp_path_factory, tiny_model) -> Path:
    """A folder with documents, and a table of their vectors as they are."""
    folder = tmp_path_factory.mktemp("codecs")
    write_files(f"{folder}/docs", {"a.jsonl": lines(good_rows(0, ROWS))})
    phase = vectors_phase(f"{folder}/docs", f"{folder}/floats")
    phase["steps"].pop()
    run_pipeline(built(tiny_model, vectors=phase), LocalRunner(), Progress(quiet=True))
    return folder


def coded(folder: Path, table: str, **quantize: Any) -> str:
    """A phase that reads the floats' table and codes its vectors."""
    phase = {
        "read": {"uri": f"{folder}/floats"},
        "steps": [{"quantize": quantize}],
        "write": {"table": f"{folder}/{table}"},
    }
    text = yaml.safe_dump({"phases": {"codes": phase}})
    run_pipeline(parse(text), LocalRunner(), Progress(quiet=True))
    return f"{folder}/{table}"


def asked(folder: Path) -> Asked:
    """The floats of the documents, as queries."""
    rows = rows_of(f"{folder}/floats")
    matrix = to_matrix(rows["embedding"], columns.dim_of(rows.schema.field("embedding")))
    return Asked(whole(rows["id"]), whole(rows["content_hash"]), matrix)


@pytest.mark.parametrize("dims", [None, 12])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_scheme_of_a_config_is_fitted_committed_and_searched_by_float_queries(
    scheme, dims, floats
):
    options = {"scheme": scheme, **MORE.get(scheme, {}), **({"dims": dims} if dims else {})}
    table = coded(floats, f"{scheme}-{dims}", **options)
    rows = rows_of(table)
    index = describe(table)
    (field,) = [rows.schema.field(index.column.field.name)]
    meant = decoded(rows, field.name, index.column.artefact)
    queries = asked(floats)
    hits = open_part(index).search(queries, 5)
    matrix = queries.matrix if index.dim == 32 else prefix(queries.matrix, index.dim)
    exact = -np.sort(-(matrix @ meant.T), axis=1)[:, :5]
    assert len(rows) == ROWS
    assert index.dim == dims or index.dim == (12 if scheme == "truncate" else 32)
    assert np.allclose(hits.scores, exact, atol=1e-5)


def test_a_table_of_fewer_dimensions_is_told_from_one_that_was_never_longer(floats):
    short = coded(floats, "short", scheme="int8", dims=12)
    again = {"read": {"uri": short}, "steps": [], "write": {"table": f"{floats}/again"}}
    run_pipeline(
        parse(yaml.safe_dump({"phases": {"copy": again}})), LocalRunner(), Progress(quiet=True)
    )
    field = describe(f"{floats}/again").column.field
    assert (columns.dim_of(field), columns.truncated_from(field)) == (12, 32)
    narrow = describe(f"{floats}/floats")
    cut = prefix(asked(floats).matrix, 12)
    with pytest.raises(ContractError, match="vectors of 32 dimensions"):
        open_part(narrow).search(replace(asked(floats), matrix=cut), 1)
