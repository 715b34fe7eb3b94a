"""Queries are searched in documents of their own space: model, pooling and strategy."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.adapt.orthogonal import Orthogonal
from operators.adapt.protocol import Pairs
from operators.beside import Beside, pinned
from operators.encode.space import differences, space_of
from operators.errors import ConfigError, ContractError
from operators.quantize.artefact import SUFFIX, digest_of, packed
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


def with_step(root: Path, name: str, step: dict[str, Any]) -> str:
    """A table of dense vectors with one more step behind `encode`."""
    write = {"table": f"{root}/{name}"}
    made = phase(root, "dense", read={"keep": ["lang", "title"]}, write=write)
    run(root, **{name: {**made, "steps": [*made["steps"], step]}})
    return name


def featured(root: Path, name: str, *columns: str, **told: Any) -> str:
    features = [{"column": each} for each in columns]
    return with_step(
        root, name, {"unified-embedding": {"features": features, "into": "embedding", **told}}
    )


def test_features_at_the_end_of_a_vector_are_part_of_its_space_but_for_their_scale(root) -> None:
    documents = featured(root, "featured", "lang", "title")
    for queries in (
        featured(root, "turned", "title", "lang"),
        featured(root, "reseeded", "lang", "title", seed=1),
    ):
        with pytest.raises(ConfigError, match="differ in features"):
            mined(root, "dense", documents, queries)
    mined(root, "dense", documents, featured(root, "quieter", "lang", "title", scale=0.5))


def test_features_that_a_phase_of_their_own_adds_are_part_of_the_space_too(root) -> None:
    featured(root, "at-once", "lang")
    whole = phase(root, "dense", read={"keep": ["lang"]}, write={"table": f"{root}/kept"})
    run(root, kept=whole)
    step = {"unified-embedding": {"features": [{"column": "lang"}], "into": "embedding"}}
    later = {"read": {"uri": f"{root}/kept"}, "steps": [step]}
    run(root, later={**later, "write": {"table": f"{root}/later"}})
    one, other = (space_of(pinned(Beside(f"{root}/{name}"), {})) for name in ("at-once", "later"))
    assert one == other
    assert one["features"]


def test_a_map_behind_encode_is_told_as_little_as_one_of_a_phase_of_its_own(root) -> None:
    drawn = np.random.default_rng(0).standard_normal((2, 40, 32)).astype(np.float32)
    data = packed(Orthogonal().fit(Pairs(*drawn)))
    place = root / f"{digest_of(data)}{SUFFIX}"
    place.write_bytes(data)
    step = {"adapt": {"scheme": "orthogonal", "artefact": str(place)}}
    with_step(root, "mapped", step)
    alone = {"read": {"uri": f"{root}/dense"}, "steps": [step]}
    run(root, alone={**alone, "write": {"table": f"{root}/mapped-later"}})
    for name in ("mapped", "mapped-later"):
        assert space_of(pinned(Beside(f"{root}/{name}"), {})) == {}
    mined(root, "dense", "mapped", "first")  # the model whose space the map leads to
