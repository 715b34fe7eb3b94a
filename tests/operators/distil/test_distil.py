import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.beside import Around, Beside
from operators.distil.distil import Distil
from operators.distil.distiller import Distiller
from operators.errors import ConfigError, ContractError, TableError
from operators.text.source import Source
from tests.mined_rows import digest, row, table
from tests.scores_tables import scores_table

SCORES = Beside(uri="scores")
MINED = table(
    row("q0", {"d1": 0.9, "d2": 0.7}, {"d3": 0.8, "d4": 0.6, "d5": 0.5}),
    row("q1", {"d4": 0.4}, {"d1": 0.3}),
)
LOGITS = {
    ("q0", "d1"): 5.0,
    ("q0", "d2"): 2.0,
    ("q0", "d3"): 4.0,
    ("q0", "d4"): -1.0,
    ("q0", "d5"): -3.0,
    ("q1", "d4"): 1.0,
    ("q1", "d1"): 0.5,
}


def teacher(logits):
    """Stored scores as the table gives them."""
    found = {(digest(query), digest(document)): s for (query, document), s in logits.items()}

    def of(queries: pa.Array, documents: pa.Array):
        pairs = zip(queries.to_pylist(), documents.to_pylist(), strict=True)
        return np.array([found.get(pair, np.nan) for pair in pairs], np.float32)

    return of


def distilled(mined=MINED, teachers=(LOGITS,), **fields) -> pa.Table:
    if teachers:
        names = tuple(f"t{n}" for n in range(len(teachers)))
        fields = {"scores": SCORES, "teachers": names, **fields}
    how = Distil(**fields)
    made = Distiller(how, [teacher(logits) for logits in teachers]).distilled(mined)
    schema = how.bind(mined.schema)
    assert made.select(schema.names).schema.equals(schema, check_metadata=True)
    return made


def lists(made: pa.Table, *names: str):
    return list(zip(*(made[name].to_pylist() for name in names), strict=True))


def test_each_positive_of_a_query_becomes_a_row_with_all_of_its_negatives() -> None:
    made = distilled(target="margin-mse")
    assert lists(made, "query_id", "positive_id", "negative_ids", "targets", "teacher_scores") == [
        ("q0", "d1", ["d3", "d4", "d5"], [0, 1, 6, 8], [5, 4, -1, -3]),
        ("q0", "d2", ["d3", "d4", "d5"], [0, -2, 3, 5], [2, 4, -1, -3]),
        ("q1", "d4", ["d1"], [0, 0.5], [1, 0.5]),
    ]
    assert made["source_row"].to_pylist() == [0, 0, 1]
    assert made["positive_row"].to_pylist() == [1, 2, 4]
    assert made["negative_rows"].to_pylist() == [[3, 4, 5], [3, 4, 5], [1]]
    assert made["negative_hashes"][2].as_py() == [digest("d1")]
    expected = hashlib.blake2b(digest("q0") + digest("d1"), digest_size=16).hexdigest()
    assert made["id"][0].as_py() == expected
    assert made.schema.field("targets").metadata == {b"corpusmill.target": b"margin-mse"}


def test_without_scores_positives_are_one_and_negatives_zero() -> None:
    made = distilled(teachers=())
    assert made["targets"].to_pylist() == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 0]]
    assert made["teacher_scores"].to_pylist() == [[], [], []]
    assert made.schema.field("targets").metadata == {b"corpusmill.target": b"judged"}


def test_unscored_negatives_are_dropped_or_refused() -> None:
    some = {pair: score for pair, score in LOGITS.items() if pair != ("q0", "d3")}
    made = distilled(teachers=[some])
    assert made["negative_ids"].to_pylist() == [["d4", "d5"], ["d4", "d5"], ["d1"]]
    with pytest.raises(
        TableError, match="table scores: 1 of 7 pairs have no score, such as q0 and d3"
    ):
        distilled(teachers=[some], missing="refuse")


def test_a_row_whose_positive_is_unscored_is_rejected() -> None:
    some = {pair: score for pair, score in LOGITS.items() if pair != ("q0", "d2")}
    made = distilled(teachers=[some])
    assert made["error"].to_pylist() == [None, "the positive has no teacher score", None]


def test_a_pair_that_one_of_several_teachers_has_not_scored_counts_as_unscored() -> None:
    some = {pair: score for pair, score in LOGITS.items() if pair != ("q0", "d4")}
    made = distilled(teachers=[LOGITS, some], fuse="mean")
    assert made["negative_ids"].to_pylist() == [["d3", "d5"], ["d3", "d5"], ["d1"]]


def test_a_target_that_is_not_finite_is_rejected() -> None:
    made = distilled(teachers=[{**LOGITS, ("q1", "d1"): np.inf}])
    assert made["error"].to_pylist() == [None, None, "the target is not finite"]
    unknown = table(row("q0", {"d1": 0.9}, {"d3": np.nan}))
    made = distilled(unknown, target="u-marvel")
    assert made["error"].to_pylist() == ["the target is not finite"]


def test_a_query_without_a_positive_is_rejected_and_one_without_negatives_stays() -> None:
    made = distilled(table(row("q0", {}, {"d3": 0.1}), row("q1", {"d4": 0.2}, {})))
    assert lists(made, "query_id", "error", "source_row") == [
        ("q1", None, 1),
        ("q0", "the query has no positive", 0),
    ]
    assert lists(made, "negative_ids", "targets")[0] == ([], [0])


def test_an_empty_unit_gives_an_empty_table() -> None:
    assert len(distilled(MINED.slice(0, 0))) == 0
    assert len(distilled(MINED.slice(0, 0), teachers=())) == 0


def test_two_positives_of_the_same_text_are_one_row() -> None:
    twice = table(row("q0", {"d1": 0.9, "d2": 0.7}, {"d3": 0.8}))
    hashes = pa.array([[digest("d1"), digest("d1")]], pa.list_(pa.binary()))
    place = twice.schema.get_field_index("positive_hashes")
    made = distilled(twice.set_column(place, twice.schema.field(place), hashes))
    assert made["positive_id"].to_pylist() == ["d1"]


def test_false_negatives_go_by_share_and_by_margin_of_the_positive() -> None:
    made = distilled(drop_false={"share": 0.95})
    assert made["negative_ids"].to_pylist() == [["d4", "d5"], ["d4", "d5"], ["d1"]]
    made = distilled(drop_false={"margin": 3.0, "scale": "raw"})
    assert made["negative_ids"].to_pylist() == [["d4", "d5"], ["d4", "d5"], []]
    made = distilled(drop_false={"share": 0.8, "scale": "raw"})
    assert made["negative_ids"].to_pylist() == [["d4", "d5"], ["d4", "d5"], ["d1"]]


@given(
    scores=st.lists(st.floats(-20, 20), min_size=4, max_size=4),
    share=st.floats(0.1, 1),
    scale=st.sampled_from(["raw", "sigmoid"]),
)
def test_no_kept_negative_scores_as_high_as_its_positive(scores, share, scale) -> None:
    one = table(row("q0", {"d1": 0.9}, {"d2": 0.5, "d3": 0.4, "d4": 0.3}))
    logits = {("q0", f"d{n + 1}"): score for n, score in enumerate(scores)}
    made = distilled(one, [logits], drop_false={"share": share, "scale": scale})
    positive, *kept = made["teacher_scores"][0].as_py()
    assert all(score < positive for score in kept)


def test_so_many_negatives_stay_the_first_mined_or_the_best_of_the_chain() -> None:
    made = distilled(negatives=2)
    assert made["negative_ids"].to_pylist() == [["d3", "d4"], ["d3", "d4"], ["d1"]]
    assert made["targets"].to_pylist()[0] == [0, 1, 6]
    backwards = {pair: -score for pair, score in LOGITS.items()}
    made = distilled(teachers=[backwards, LOGITS], fuse="rerank", negatives=1)
    assert made["negative_ids"].to_pylist() == [["d5"], ["d5"], ["d1"]]
    assert made["teacher_scores"].to_pylist()[0] == [5, -3]


def test_order_weights_bring_the_negatives_in_the_teachers_order() -> None:
    backwards = table(row("q0", {"d2": 0.9}, {"d5": 0.8, "d4": 0.6, "d3": 0.5}))
    made = distilled(backwards, target="llm-embedder")
    assert made["negative_ids"].to_pylist() == [["d3", "d4", "d5"]]
    assert made["negative_rows"].to_pylist() == [[3, 4, 5]]
    assert made["teacher_scores"].to_pylist() == [[2, 4, -1, -3]]
    assert sum(made["targets"][0].as_py()) == pytest.approx(1)


def test_the_retrievers_similarity_is_part_of_the_fused_target() -> None:
    made = distilled(target="u-marvel", weight=0.0, temperature=0.5)
    powers = np.exp(np.array([0.9, 0.8, 0.6, 0.5]))
    assert made["targets"][0].as_py() == pytest.approx(powers / powers.sum())


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.lists(st.integers(0, 9), unique=True, max_size=3),
            st.lists(st.integers(10, 30), unique=True, max_size=6),
        ),
        min_size=1,
        max_size=5,
    ),
    target=st.sampled_from(["margin-mse", "softmax", "labels", "lg-anna", "llm-embedder", "udr"]),
    keep=st.integers(0, 3),
    seed=st.integers(0, 9),
)
def test_every_number_stays_with_its_document(rows, target, keep, seed) -> None:
    random = np.random.default_rng(seed)
    logits = {
        (f"q{q}", f"d{d}"): float(np.float32(random.normal()))
        for q in range(len(rows))
        for d in range(31)
    }
    mined = table(
        *(
            row(f"q{q}", {f"d{d}": 0.5 for d in good}, {f"d{d}": 0.1 for d in bad})
            for q, (good, bad) in enumerate(rows)
        )
    )
    made = distilled(mined, [logits], target=target, negatives=keep)
    made = made.filter(made["error"].is_null()) if "error" in made.column_names else made
    assert len(made) == sum(len(good) for good, _ in rows)
    for each in made.to_pylist():
        names = [each["positive_id"], *each["negative_ids"]]
        assert each["teacher_scores"] == [logits[each["query_id"], name] for name in names]
        assert len(each["targets"]) == len(names)
        assert each["negative_rows"] == [int(name[1:]) for name in each["negative_ids"]]
        assert each["positive_hash"] == digest(each["positive_id"])
        mined_ones = rows[each["source_row"]][1]
        assert len(each["negative_ids"]) == min(keep or 99, len(mined_ones))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"target": "softmaxx"}, "no target 'softmaxx'; there are"),
        ({"fuse": "vote"}, "no fuse 'vote'; there are: mean, only, rerank, rrf"),
        ({"fuse": "rrf"}, "fuse joins several teachers"),
        ({"teachers": ["a", "b"]}, "fuse joins several teachers"),
        ({"scores": Beside(), "target": "softmax"}, "name a scores table under 'scores'"),
        ({"target": "lg-anna", "weight": 1.5}, "is a share from 0 to 1, not 1.5"),
        ({"drop_false": {}}, "needs share or margin"),
        (
            {"teachers": ["a", "b"], "fuse": "rrf", "drop_false": {"share": 0.9}},
            "drop_false on scale sigmoid takes a teacher's logits, and fuse rrf gives none",
        ),
        ({"teachers": ["a", "b"], "fuse": "mean", "target": "labels"}, "fuse mean gives none"),
        ({"temperature": 0}, "greater than 0"),
    ],
)
def test_a_config_that_means_nothing_is_refused(fields, sentence) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Distil(**{"scores": SCORES, **fields})


def test_it_needs_mined_rows() -> None:
    with pytest.raises(ContractError, match="distil needs column 'negative_ids'"):
        Distil().bind(MINED.schema.remove(MINED.schema.get_field_index("negative_ids")))


def hashed(logits):
    return {(digest(query), digest(document)): s for (query, document), s in logits.items()}


def settled(**fields) -> Distil:
    """The step as the plan makes it."""
    texts = Source(uri="texts")
    around = Around(Source(uri="mined"), {}, Beside(), (), repr, repr)
    return Distil(queries=texts, documents=texts, **fields).settled(around)


def test_stored_scores_are_looked_up_by_hash(store) -> None:
    beside = scores_table(store, ab12=hashed(LOGITS))
    with settled(scores=beside).open() as transform:
        made = transform(MINED)
    assert made.equals(distilled())


def test_a_teacher_is_named_by_how_its_fingerprint_begins_or_by_its_model(store) -> None:
    other = {pair: score + 1 for pair, score in LOGITS.items()}
    beside = scores_table(store, ab12=hashed(LOGITS), cd34=hashed(other))
    for name, first in (("ab", 5), ("cd34", 6), ("cd34-x", 6)):
        with settled(scores=beside, teachers=(name,)).open() as transform:
            assert transform(MINED)["teacher_scores"][0][0].as_py() == first
    for name, sentence in (
        ("", "may be any of its teachers ab12, cd34"),
        ("cross-encoder", "may be any of its teachers ab12, cd34"),
        ("cd43", "no teacher 'cd43'; did you mean 'cd34'"),
    ):
        with pytest.raises(TableError, match=sentence):
            settled(scores=beside, teachers=(name,))
    with pytest.raises(TableError, match="it holds 2 teachers; name one: ab12, cd34"):
        settled(scores=beside)


def test_opening_reads_no_table_since_the_plan_has_named_the_teachers() -> None:
    with Distil(scores=Beside(uri="nowhere", version=0), teachers=("ab12",)).open():
        pass
    with pytest.raises(ConfigError, match="the plan has not named its teachers"):
        Distil(scores=Beside(uri="nowhere", version=0)).open().__enter__()
