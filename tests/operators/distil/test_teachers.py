"""What is asked of a teacher's scores that not every kind of teacher gives."""

import pytest

from operators.beside import Around, Beside, Listed
from operators.distil.distil import Distil
from operators.errors import ConfigError
from operators.mine.mine import Mine
from operators.mine.qrels import Qrels
from operators.mine.sources import Bm25
from operators.text.source import Source
from tests.scores_tables import scores_table

TEXTS = Source(uri="texts")
AROUND = Around(Source(uri="mined"), {}, Beside(), (), repr, lambda source: Listed(source, (), "s"))
LOGITS = {(b"q", b"d"): 1.0}


@pytest.mark.parametrize("kind", ["bi-encoder", "maxsim"])
@pytest.mark.parametrize(
    ("fields", "instead"),
    [
        ({"drop_false": {"share": 0.95}}, "drop_false on scale sigmoid .* set its scale: raw"),
        ({"target": "labels"}, "target labels .* take target scores or softmax"),
        ({"target": "u-marvel"}, "target u-marvel .* take target scores or softmax"),
    ],
)
def test_distil_makes_no_probabilities_of_cosines(tmp_path, kind, fields, instead) -> None:
    scores = scores_table(str(tmp_path), kind, ab=LOGITS)
    step = Distil(scores, queries=TEXTS, documents=TEXTS, **fields)
    with pytest.raises(ConfigError, match=instead.replace(".*", f".* {kind} gives .*cosines;")):
        step.settled(AROUND)


def test_a_rule_makes_no_probabilities_of_cosines(tmp_path) -> None:
    step = Mine(
        Qrels("qrels.tsv"),
        bm25=Bm25(),
        documents=TEXTS,
        scores=scores_table(str(tmp_path), "maxsim", ab=LOGITS),
        rules=("lg-mine",),
    )
    said = "mine: rule 'lg-mine' takes a teacher's logits, and maxsim gives sums of cosines; set"
    with pytest.raises(ConfigError, match=said):
        step.settled(AROUND)


@pytest.mark.parametrize(("kind", "scale"), [("maxsim", "raw"), ("yes-no", "sigmoid")])
def test_raw_scores_and_logits_are_taken(tmp_path, kind, scale) -> None:
    drop = {"share": 0.95, "scale": scale}
    scores = scores_table(str(tmp_path), kind, ab=LOGITS)
    step = Distil(scores, queries=TEXTS, documents=TEXTS, drop_false=drop)
    assert step.settled(AROUND).teachers == ("ab",)
