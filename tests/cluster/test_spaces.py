"""Queries are searched in documents of their own space: model, pooling and strategy."""

from pathlib import Path
from typing import Any

import pytest

from operators.beside import Beside, pinned
from operators.encode.space import differences, space_of
from operators.errors import ConfigError, ContractError
from tests.kinds import phase, prepared, run

JUDGED = "query-id\tcorpus-id\tscore\n" + "".join(f"d{n:02d}\td{n + 1:02d}\t1\n" for n in range(20))
CUT = {"strategy": {"kind": "2dmse", "dims": 16}}
LATE = {"kind": "colbert-xm", "language": "en_XX"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepared(tmp_path_factory.mktemp("spaces"))
    (root / "qrels.tsv").write_text(JUDGED)
    kinds = ("dense", "late", "first", "splade", "dupmae", "tokens")
    run(root, **{kind: phase(root, kind) for kind in kinds})
    return root


def mined(root: Path, source: str, documents: str, queries: str, **told: Any) -> None:
    each = {"vectors": {"uri": f"{root}/{documents}"}, "queries": {"uri": f"{root}/{queries}"}}
    mine = {
        "qrels": {"uri": f"{root}/qrels.tsv"},
        source: [{**each, **told}],
        "selection": {"negatives": 2, "range_max": 5},
    }
    step = {"read": {"uri": f"{root}/{queries}"}, "steps": [{"mine": mine}]}
    run(root, negatives={**step, "write": {"table": f"{root}/{documents}-{queries}-{source}"}})


def asking(root: Path, kind: str, name: str, encode: dict[str, Any]) -> str:
    run(root, **{name: phase(root, kind, encode=encode, write={"table": f"{root}/{name}"})})
    return name


@pytest.mark.parametrize(
    ("documents", "queries", "said"),
    [
        ("dupmae", "first", r"differ in strategy \(pooled against dupmae\)"),
        ("first", "dupmae", r"differ in strategy \(dupmae against pooled\)"),
        ("dense", "first", "differ in model, pooling"),
    ],
)
def test_dense_vectors_of_another_strategy_are_refused(root, documents, queries, said) -> None:
    with pytest.raises(ConfigError, match=said):
        mined(root, "dense", documents, queries)
    assert not (root / f"{documents}-{queries}-dense").exists()


def test_sparse_vectors_of_another_strategy_are_refused_and_dense_ones_are_none(root) -> None:
    with pytest.raises(ConfigError, match=r"differ in .*strategy .dupmae against splade"):
        mined(root, "lexical", "splade", "dupmae")
    with pytest.raises(ContractError, match=r"lexical_ids.*sparse vectors"):
        mined(root, "lexical", "splade", "dense")
    with pytest.raises(ContractError, match=r"token_vectors.*token vectors"):
        mined(root, "late", "tokens", "dense")


def test_a_field_of_one_strategy_that_differs_is_named(root) -> None:
    for dims in (16, 12):
        encode = {"strategy": {"kind": "2dmse", "dims": dims, "layers": dims // 12}}
        asking(root, "dense", f"cut{dims}", encode)
    one, other = (space_of(pinned(Beside(f"{root}/cut{dims}"), {})) for dims in (16, 12))
    (said,) = differences(one, other)
    assert said == "strategy (2dmse: dims 16 against 12)"
    named = asking(
        root, "dense", "shallow", {"strategy": {"kind": "2dmse", "dims": 16, "layers": 2}}
    )
    with pytest.raises(ConfigError, match=r"strategy \(2dmse: layers 2 against 1\)"):
        mined(root, "dense", "cut16", named)
    mined(root, "dense", "cut16", named, same_space=False)


def test_what_a_strategy_calls_one_sided_may_differ(root) -> None:
    asked = asking(root, "splade", "all-words", {"strategy": {"kind": "splade", "top_k": 90}})
    mined(root, "lexical", "splade", asked)
    asked = asking(root, "tokens", "asked", {"strategy": {**LATE, "role": "query"}})
    mined(root, "late", "tokens", asked)
    assert (root / "tokens-asked-late").exists()


def test_passages_chunked_late_share_the_space_of_plain_queries(root) -> None:
    spaces = [space_of(pinned(Beside(f"{root}/{kind}"), {})) for kind in ("late", "dense")]
    assert spaces[0] == spaces[1]


def test_a_table_that_codes_another_is_in_its_space(root) -> None:
    steps = [{"quantize": {"scheme": "int8"}}]
    coded = {"read": {"uri": f"{root}/dupmae"}, "steps": steps}
    run(root, codes={**coded, "write": {"table": f"{root}/int8"}})
    with pytest.raises(ConfigError, match=r"differ in strategy \(pooled against dupmae\)"):
        mined(root, "dense", "int8", "first")
    mined(root, "dense", "int8", "dupmae")
