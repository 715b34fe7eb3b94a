"""Bad input to mining, teaching and distilling: one sentence, the right code, no table made."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.cli import status
from operators.storage.table import Table
from tests.lake import Lake
from tests.pipeline_builders import quarantined, rows_of
from tests.tiny_models import break_token, build_bert, build_classifier

SCORES = {"teacher": "cross-encoder", "model": "teacher"}


def run(lake: Lake, **changes: Any) -> int:
    path = lake.root / "config.yaml"
    path.write_text(yaml.safe_dump(lake.config(**changes), sort_keys=False))
    return status(["run", str(path)])


@pytest.mark.parametrize(
    ("mine", "code", "phrase"),
    [
        ({"rules": ["nv-min"]}, 2, "no rule 'nv-min'; did you mean 'nv-mine'?"),
        ({"rules": [{"nv-mine": {"shar": 1}}]}, 2, "rule 'nv-mine' has no option 'shar'"),
        (
            {"rules": [{"nv-mine": {"against": "each"}}]},
            2,
            "has no option 'against'; it has: share",
        ),
        ({"rules": ["lg-mine"]}, 2, "rule 'lg-mine' asks a teacher; name its table"),
        ({"rules": ["siblings"]}, 2, "mine needs column 'parent_id'"),
        ({"dense": [], "bm25": None}, 2, "nothing proposes candidates"),
        ({"dense": []}, 2, "bm25 alone needs 'documents'"),
        ({"fusion": {"weights": [2]}}, 2, "fusion.weights: 1 for 2 sources (dense, bm25)"),
        ({"dense": [{"vectors": {"phase": "docs"}}]}, 2, "no earlier phase 'docs'"),
        ({"documents": {"phase": "texts"}}, 2, "no earlier phase 'texts'"),
        ({"dense": [{"vectors": {"uri": "/nowhere"}}]}, 1, "/nowhere: there is no Delta table"),
        ({"dense": [{"vectors": {}}]}, 2, "a source needs 'vectors'"),
        (
            {"selection": {"negatives": 5, "range_max": 500}},
            2,
            "500 candidates are asked for, and",
        ),
        ({"depth": 500}, 2, "500 candidates are asked for, and"),
        (
            {"depth": 9, "selection": {"range_min": 15, "negatives": 4}},
            2,
            "depth 9 gives at most 18 candidates and range_min and negatives ask for 19",
        ),
        ({"selection": {"negatives": 9, "range_max": 5}}, 2, "leaves no room for 9 negatives"),
        ({"qrels": {"uri": "/nowhere.tsv"}}, 1, "/nowhere.tsv"),
        ({"dense": [{"vectors": {"phase": "documents"}, "column": "bits"}]}, 2, "'bits'"),
    ],
)
def test_mining_that_cannot_be_is_refused_in_one_sentence(embedded, capsys, mine, code, phrase):
    assert run(embedded, last="negatives", mine=mine) == code
    assert phrase in capsys.readouterr().err
    assert Table(embedded.table("negatives")).version() == -1


@pytest.mark.parametrize(
    ("mine", "column"),
    [
        ({"rules": ["siblings"]}, "parent_id"),
        ({"inbook": {}}, "parent_id"),
        ({"selection": {"negatives": 5, "local": 2}}, "kind"),
    ],
)
def test_bm25_alone_is_refused_what_its_documents_do_not_keep(embedded, capsys, mine, column):
    alone = {"dense": [], "documents": {"uri": str(embedded.root / "beir")}}
    assert run(embedded, last="negatives", mine={**alone, **mine}) == 2
    said = capsys.readouterr().err
    assert f"mine needs column '{column}' as string (keep: [{column}] under 'documents')" in said
    assert Table(embedded.table("negatives")).version() == -1


@pytest.mark.parametrize(
    ("dim", "phrase"), [(16, "vectors of 16 dimensions"), (32, "differ in model")]
)
def test_vectors_of_another_model_are_refused(lake, tmp_path, capsys, dim, phrase):
    other = build_bert(tmp_path / "other", dim=dim, seed=7)
    config = lake.config(last="negatives")
    config["models"]["other"] = {"path": str(other)}
    config["phases"]["others"] = {
        "read": {"uri": str(lake.root / "beir"), "part": "queries"},
        "steps": [{"tokenize": {"model": "other"}}, {"encode": {"model": "other"}}],
        "write": {"table": lake.table("others")},
    }
    config["phases"]["negatives"] = config["phases"].pop("negatives")
    config["phases"]["negatives"]["read"] = {"phase": "others"}
    config["phases"]["negatives"]["steps"][0]["mine"]["dense"][0]["same_space"] = dim == 32
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert status(["run", str(path)]) == 2
    assert phrase in capsys.readouterr().err
    assert Table(lake.table("negatives")).version() == -1


def test_judgments_of_unknown_documents_only_are_refused_by_the_gate(lake, capsys):
    qrels = lake.root / "beir" / "qrels" / "train.tsv"
    qrels.write_text("query-id\tcorpus-id\tscore\n" + "q00\tgone\t1\nq01\tgone-too\t1\n")
    assert run(lake, last="negatives") == 4
    assert "no row is left" in capsys.readouterr().err


def test_a_teacher_of_two_labels_is_refused(lake, tmp_path, capsys):
    teacher = build_classifier(tmp_path / "two", labels=2)
    two = Lake(lake.root, lake.encoder, teacher)
    assert run(two, last="scores") == 2
    assert "label" in capsys.readouterr().err
    assert Table(lake.table("scores")).version() == -1


def test_pairs_without_a_teacher_are_refused(lake, capsys):
    assert run(lake, last="scores", teach=[]) == 2
    assert "no teach step follows" in capsys.readouterr().err


def test_a_pair_whose_logit_is_not_finite_is_quarantined_and_the_others_are_scored(lake, tmp_path):
    teacher = build_classifier(tmp_path / "nan")
    break_token(teacher, "7")
    broken = Lake(lake.root, lake.encoder, teacher)
    config = broken.config(last="scores")
    config["phases"]["scores"]["write"]["gate"] = {"max_bad_rows": 0.999}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert status(["run", str(path)]) == 0
    reasons = {reason for _, reason in quarantined(lake.table("scores"))}
    assert reasons == {"the teacher gave a logit that is not finite"}
    assert len(rows_of(lake.table("scores"))) > 0


def test_a_text_that_changed_since_it_was_mined_is_named_and_nothing_is_scored(lake, capsys):
    assert run(lake, last="negatives") == 0
    corpus = Path(lake.root / "beir" / "corpus.jsonl")
    corpus.write_text(corpus.read_text().replace("text number", "TEXT number"))
    config = lake.config(last="scores")
    config["phases"] = {"scores": config["phases"]["scores"]}
    config["phases"]["scores"]["read"] = {"uri": lake.table("negatives")}
    path = lake.root / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    assert status(["run", str(path)]) == 4
    assert "has changed since it was embedded" in capsys.readouterr().err
    assert Table(lake.table("scores")).version() == -1


def test_a_target_of_cosines_is_refused_where_bm25_scored_the_negatives(lake, capsys):
    alone = {"dense": [], "documents": {"uri": str(lake.root / "beir")}}
    assert run(lake, mine=alone, distil={"target": "u-marvel"}) == 2
    said = capsys.readouterr().err
    assert "distil: target u-marvel takes cosines, and bm25 scored the negatives of" in said
    assert Table(lake.table("triples")).version() == -1


@pytest.mark.parametrize(
    ("distil", "phrase"),
    [
        ({"teachers": ["nobody"]}, "it holds no teacher 'nobody'"),
        ({"target": "margin-mes"}, "no target 'margin-mes'"),
        ({"fuse": "mean"}, "fuse joins several teachers"),
    ],
)
def test_distilling_that_cannot_be_is_refused_in_one_sentence(lake, capsys, distil, phrase):
    assert run(lake, distil=distil) != 0
    assert phrase in capsys.readouterr().err
    assert Table(lake.table("triples")).version() == -1
