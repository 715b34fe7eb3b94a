"""What the gate and the reports do with tables of sparse vectors and of token vectors."""

from pathlib import Path
from typing import Any

import pytest

from operators.errors import ConfigError
from pipelines.canaries import questions
from pipelines.fingerprint import digest
from pipelines.search import search
from tests.cluster.conftest import Cli
from tests.kinds import DOCUMENTS, phase, prepared, run
from tests.pipeline_builders import lineage_of, lines

QUESTIONS = [
    {
        "text": f"what is number {n} of {DOCUMENTS[n * 5]['title']}",
        "expected": [DOCUMENTS[(n * 5 + step) % 60]["id"] for step in range(0, 40, 3 + n % 4)],
    }
    for n in range(12)
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = prepared(tmp_path_factory.mktemp("vectors"))
    (root / "canaries.jsonl").write_bytes(lines(QUESTIONS))
    gate = asked(root)
    kinds = ("splade", "dupmae", "tokens", "coded", "late")
    # passages have ids of their own: those are found that the first version is searched for
    run(root, **{kind: phase(root, kind, write=gate) for kind in kinds})
    return root


def asked(root: Path) -> dict[str, Any]:
    return {"gate": {"canaries": {"queries": f"{root}/canaries.jsonl", "k": 5}}}


@pytest.mark.parametrize("kind", ["splade", "dupmae", "tokens", "coded"])
def test_canaries_have_the_recall_of_a_search(root, kind) -> None:
    told = lineage_of(f"{root}/{kind}")["canaries"]
    hits = search(f"{root}/{kind}", [str(each["text"]) for each in QUESTIONS], 5).hits.to_pylist()
    shares = []
    for number, each in enumerate(QUESTIONS):
        found = {row["id"] for row in hits if row["query"] == number}
        shares.append(len(found & {*each["expected"]}) / min(5, len(each["expected"])))
    assert told["recall"] == pytest.approx(sum(shares) / len(shares), abs=1e-6)
    assert 0 < told["recall"] < 1
    assert (told["k"], told["asked"]) == (5, len(QUESTIONS))


def test_recall_by_all_words_of_queries_is_not_held_against_that_by_some(root) -> None:
    by_some = digest([questions(f"{root}/canaries.jsonl").digest, "both"])
    assert lineage_of(f"{root}/dupmae")["canaries"]["queries"] != by_some


def test_canaries_find_passages_that_were_chunked_late(root) -> None:
    assert lineage_of(f"{root}/late")["canaries"]["recall"] == 0  # they are named by other ids
    [hit] = search(f"{root}/late", [DOCUMENTS[3]["text"]], 1).hits.to_pylist()
    questions = [{"text": DOCUMENTS[3]["text"], "expected": [hit["id"]]}]
    (root / "passages.jsonl").write_bytes(lines(questions))
    gate = {"gate": {"canaries": {"queries": f"{root}/passages.jsonl", "k": 1}}}
    run(root, late=phase(root, "late", write={"table": f"{root}/late-again", **gate}))
    assert lineage_of(f"{root}/late-again")["canaries"]["recall"] == 1


def test_canaries_are_refused_when_planned_where_no_query_can_be_encoded(root) -> None:
    by_row = {"strategy": {"kind": "colbert-xm"}}
    write = {"table": f"{root}/never", **asked(root)}
    with pytest.raises(ConfigError, match="canaries need a strategy with its `language`"):
        run(root, tokens=phase(root, "tokens", encode=by_row, read={"keep": ["lang"]}, write=write))
    assert not (root / "never").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [("splade", "it holds sparse vectors"), ("tokens", "it holds vectors of tokens")],
)
def test_reports_of_dense_vectors_say_what_else_to_do(root, cli: Cli, kind, said) -> None:
    for arguments in (
        ("compress", f"{root}/{kind}"),
        ("compat", f"{root}/{kind}", f"{root}/dupmae"),
        ("compat", f"{root}/dupmae", f"{root}/{kind}"),
    ):
        code, _, err = cli(*arguments)
        assert code == 1, err
        assert said in err
        assert "`corpusmill search`" in err


def test_the_dense_half_of_a_table_of_both_is_compressed_alone(root, cli: Cli) -> None:
    code, out, err = cli("compress", f"{root}/dupmae", "--schemes", "int8")
    assert code == 0, err
    assert "vectors beside them are measured alone" in err
    assert "int8" in out
