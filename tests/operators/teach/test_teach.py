"""The operator: whose rows it scores, what it refuses, and what it leaves as it was."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from operators import columns
from operators.base import Operator, Resources
from operators.errors import ContractError, ModelError
from operators.model import Model
from operators.teach.registry import TEACHERS
from operators.teach.teach import Teach
from tests.tiny_models import VOCABULARY, break_token, build_classifier

CPU = Resources(device="cpu")
PAIRS = [("the fox", "of and 12%"), ("a", "ab" * 20), ("why of the and", "x")]
KINDS = {
    "cross-encoder": ("bert", {}),
    "bi-encoder": ("embedder", {}),
    "query-likelihood": ("gpt2", {}),
    "answer-likelihood": ("gpt2", {"answer": "a", "template": "{text} {query}: {answer}"}),
    "yes-no": ("gpt2", {"answers": ("the", "of"), "template": "{text} {query}:"}),
    "uni-encoder": ("uni", {}),
    "maxsim": ("colbert", {"language": "en_XX"}),
}


def step(folders, teacher="cross-encoder", **fields):
    kind, own = KINDS[teacher]
    return Teach(Model(str(folders(kind))), teacher, **{"fingerprint": "t", **own, **fields})


def asked(pair_table, teacher, pairs):
    """The table of pairs, with answers where the teacher asks for them."""
    answers = [f"of {query[:3]}" for query, _ in pairs] if teacher == "answer-likelihood" else ()
    return pair_table(pairs, answers=answers)


def test_every_teacher_has_a_test():
    assert KINDS.keys() == TEACHERS.keys()


@pytest.mark.parametrize("teacher", KINDS)
def test_the_output_is_what_bind_says(folders, pair_table, teacher):
    operator = step(folders, teacher)
    assert isinstance(operator, Operator)
    table = asked(pair_table, teacher, PAIRS)
    bound = operator.bind(table.schema)
    assert bound.names == ["id", "teacher", "logit"]
    with operator.open(CPU) as teach:
        for part in (table, table.slice(0, 1), table.slice(0, 0)):
            out = teach(part)
            assert (out.schema, len(out)) == (bound, len(part))
            assert out["logit"].null_count == 0


@pytest.mark.parametrize("teacher", KINDS)
def test_order_and_company_change_nothing(folders, pair_table, teacher):
    pairs = [*PAIRS, *PAIRS[:2], ("the fox " * 3, "of and the " * 300)]
    with step(folders, teacher).open(CPU) as teach:
        told = partial(asked, pair_table, teacher)
        whole = teach(told(pairs))["logit"].to_numpy()
        back = teach(told(pairs[::-1]))["logit"].to_numpy()[::-1]
        alone = [teach(told([pair]))["logit"].to_numpy()[0] for pair in pairs]
    np.testing.assert_allclose(back, whole, atol=1e-4)
    np.testing.assert_allclose(alone, whole, atol=1e-4)
    np.testing.assert_allclose(whole[3:5], whole[:2], atol=1e-5)


def test_rows_of_another_teacher_stay_as_they_are(folders, pair_table):
    table = pa.concat_tables([pair_table(PAIRS, "u"), pair_table(PAIRS, "t")])
    with step(folders, more=True).open(CPU) as teach, step(folders).open(CPU) as alone:
        first = teach(table)
        wanted = alone(pair_table(PAIRS))["logit"].to_pylist()
    assert first.schema.names == ["id", "query", "text", "teacher", "logit"]
    assert first.drop_columns(["logit"]) == table
    assert first["logit"].to_pylist()[:3] == [None] * 3
    np.testing.assert_allclose(first["logit"].to_pylist()[3:], wanted, atol=1e-5)


def test_two_teachers_follow_each_other(folders, pair_table):
    table = pa.concat_tables([pair_table(PAIRS, "u"), pair_table(PAIRS, "t")])
    one = step(folders, "bi-encoder", fingerprint="u", more=True)
    two = step(folders)
    assert two.bind(one.bind(table.schema)).names == ["id", "teacher", "logit"]
    with one.open(CPU) as first, two.open(CPU) as second:
        between = first(table)
        out = second(between)
    assert out["logit"].null_count == 0
    assert out["logit"].to_pylist()[:3] == between["logit"].to_pylist()[:3]


def test_a_logit_that_is_not_finite_is_rejected_alone(tmp_path, pair_table):
    folder = build_classifier(tmp_path / "m")
    break_token(folder, "q")
    with Teach(Model(str(folder)), fingerprint="t").open(CPU) as teach:
        out = teach(pair_table([("the", "fox"), ("q", "fox"), ("of", "and")]))
    reason = "the teacher gave a logit that is not finite"
    assert out["error"].to_pylist() == [None, reason, None]
    assert out["logit"].is_null().to_pylist() == [False, True, False]


def test_an_earlier_error_stays(folders, pair_table):
    table = pair_table(PAIRS).append_column(
        columns.ERROR, pa.array(["bad", None, None], pa.string())
    )
    with step(folders).open(CPU) as teach:
        assert teach(table)["error"].to_pylist() == ["bad", None, None]


@pytest.mark.parametrize("name", ["query", "text", "teacher"])
def test_its_columns_are_needed(folders, pair_table, name):
    schema = pair_table(PAIRS).drop_columns([name]).schema
    with pytest.raises(ContractError, match=f"teach needs column '{name}'"):
        step(folders).bind(schema)


def test_an_option_of_another_teacher_is_refused():
    with pytest.raises(ValidationError, match="teacher 'cross-encoder' has no option 'template'"):
        Teach(Model("m"), template="{text} {query}")
    with pytest.raises(ValidationError, match="teacher 'query-likelihood' has no option 'answers'"):
        Teach(Model("m"), "query-likelihood", answers=("yes", "no"))


def test_what_the_plan_fills_in_is_no_identity():
    from operators.base import identity_fields

    plain, filled = Teach(Model("m")), Teach(Model("m"), fingerprint="f", more=True)
    assert identity_fields(plain) == identity_fields(filled)
    whole = Teach(Model("m"), "uni-encoder", layout="arrow", beyond="d")
    assert identity_fields(whole).keys() - identity_fields(plain).keys() == {"layout", "beyond"}


@pytest.mark.parametrize(
    ("teacher", "fields", "same"),
    [
        ("uni-encoder", {"layout": "isolated"}, True),
        ("uni-encoder", {"layout": "diag"}, False),
        ("answer-likelihood", {"norm": "mean"}, True),
        ("answer-likelihood", {"norm": "sum"}, False),
        ("maxsim", {"language": "none"}, True),
        ("maxsim", {"language": "en_XX"}, False),
    ],
)
def test_an_option_spelled_out_as_it_is_anyway_is_the_same_teacher(teacher, fields, same):
    from operators.base import identity_fields

    own = {"answer": "a"} if teacher == "answer-likelihood" else {}
    plain, told = (Teach(Model("m"), teacher, **own, **each) for each in ({}, fields))
    assert (identity_fields(plain) == identity_fields(told)) == same


def test_prompts_are_identity_only_of_the_teacher_that_uses_them(folders):
    from pipelines.fingerprint import step_identity

    def told(kind, teacher):
        plain = Model(str(folders(kind)), prompts={})
        prompted = Model(str(folders(kind)), prompts={"query": "q: ", "passage": "p: "})
        one, other = (step_identity(Teach(model, teacher)) for model in (plain, prompted))
        return one != other

    assert told("embedder", "bi-encoder")
    assert not told("bert", "cross-encoder")


def test_two_labels_are_refused_when_the_plan_is_bound(tmp_path, pair_table):
    folder = build_classifier(tmp_path / "m", labels=2)
    with pytest.raises(ModelError, match="a teacher must have one logit"):
        Teach(Model(str(folder))).bind(pair_table(PAIRS).schema)


def test_a_device_that_is_not_there_is_refused(folders):
    with (
        pytest.raises(ModelError, match="this machine has no device 'cuda:99'"),
        step(folders).open(Resources(device="cuda:99")),
    ):
        pass


def test_binding_imports_neither_torch_nor_transformers(folders):
    code = (
        "import sys; from operators.teach.pairs import PAIRS; "
        "from operators.teach.teach import Teach; from operators.model import Model; "
        f"Teach(Model({str(folders('bert'))!r})).bind(PAIRS); "
        f"Teach(Model({str(folders('gpt2'))!r}), 'yes-no', answers=('the', 'of')).bind(PAIRS); "
        "print({'torch', 'transformers', 'ray'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_the_tokens_of_the_tests_are_known():
    assert {"the", "of", "and", "q"} <= VOCABULARY.keys()
