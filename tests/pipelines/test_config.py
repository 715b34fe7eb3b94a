"""A config becomes a pipeline, or every mistake in it is told at once."""

from pathlib import Path

import pytest

from operators.encode.encode import Encode
from operators.errors import ConfigError
from operators.quantize.quantize import Quantize
from operators.text.tokenizer import Tokenize
from pipelines.config import load, parse

GOOD = """
models:
  small: { path: some/model, max_length: 128 }
phases:
  vectors:
    read: { uri: docs, text: title }
    steps:
      - tokenize: { model: small }
      - encode: { model: small, pooling: cls }
        resources: { workers: 3 }
      - quantize: { scheme: binary }
    write: { table: out/vectors, gate: { min_rows: 0.5, norm: [0.9, 1.1] } }
  again:
    read: { phase: vectors }
    write: { table: out/again }
budget: { price_per_hour: 2, max_cost: 10 }
"""


def mistakes(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml", overrides)
    assert caught.value.exit_code == 2
    return caught.value.mistakes


def only_mistake(text: str, *overrides: str) -> str:
    (sentence,) = mistakes(text, *overrides)
    return sentence


def test_a_config_becomes_phases_steps_models_and_a_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(GOOD)
    pipeline = load("c.yaml")
    vectors, again = pipeline.phases
    tokenize, encode, quantize = (step.operator for step in vectors.steps)
    assert isinstance(tokenize, Tokenize)
    assert tokenize.model.max_length == 128
    assert isinstance(encode, Encode)
    assert (encode.model, encode.pooling) == (tokenize.model, "cls")
    assert quantize == Quantize(scheme="binary")
    assert [step.resources.workers for step in vectors.steps] == [1, 3, 1]
    assert vectors.read.text == ("title",)
    assert vectors.write.table == str(tmp_path / "out/vectors")
    assert vectors.write.gate.norm == (0.9, 1.1)
    assert (again.read.phase, again.steps) == ("vectors", ())
    assert pipeline.budget.max_cost == 10


def test_every_mistake_is_told_at_once_with_its_place():
    found = mistakes("""
models:
  small: { path: some/model, max_lenght: 3 }
phases:
  vectors:
    read: { uri: docs, limit: -1 }
    steps:
      - tokenise: { model: small }
      - encode: { model: smal, precision: fp8 }
        resources: { workers: 0 }
      - quantize: { shceme: int8 }
      - quantize
      - { encode: {}, quantize: {} }
    write: { gate: { min_row: 3, norm: [1] } }
  later:
    read: { phase: vectrs }
    write: { table: x, keep_days: 0 }
  empty: 3
bugdet: {}
""")
    assert found == (
        "c.yaml: no field 'bugdet'; did you mean 'budget'?",
        "c.yaml: model small: no field 'max_lenght'; did you mean 'max_length'?",
        "c.yaml: phase vectors, read: field 'limit': input should be greater than or equal to 0, "
        "found -1",
        "c.yaml: phase vectors, write, gate: field 'norm': too few values, found [1]",
        "c.yaml: phase vectors, write, gate: no field 'min_row'; did you mean 'min_rows'?",
        "c.yaml: phase vectors, write: needs field 'table'",
        "c.yaml: phase vectors, step 1: no operator 'tokenise'; did you mean 'tokenize'?",
        "c.yaml: phase vectors, step 2, resources: field 'workers': expected a number from 1 on or "
        "[least, most], found 0",
        "c.yaml: phase vectors, step 2, encode: no model 'smal' under 'models'; did you mean "
        "'small'?",
        "c.yaml: phase vectors, step 2, encode: field 'precision': input should be 'fp32', 'bf16', "
        "'fp16' or 'int8', found 'fp8'",
        "c.yaml: phase vectors, step 3, quantize: no field 'shceme'; did you mean 'scheme'?",
        "c.yaml: phase vectors, step 4: expected {operator: {its fields}}, found 'quantize'",
        "c.yaml: phase vectors, step 5: names one operator, found ['encode', 'quantize']",
        "c.yaml: phase later, read: no earlier phase 'vectrs'; did you mean 'vectors'?",
        "c.yaml: phase later, write: field 'keep_days': input should be greater than or equal to "
        "1, found 0",
        "c.yaml: phase empty: expected a mapping with read, steps and write, found 3",
    )


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "expected a mapping with phases, found None"),
        ("[1, 2]", "expected a mapping with phases, found [1, 2]"),
        ("models: {}", "needs at least one phase under 'phases'"),
        ("phases: [", "not valid YAML: line 1: "),
        ("phases:\n  a: {}\n  a: {}", "not valid YAML: line 3: the key 'a' comes twice"),
        ("phases: { a: { write: { table: x } } }", "phase a: needs 'read'"),
        ("phases: { a: { read: {}, write: { table: x } } }", "needs either 'uri' or 'phase'"),
        (GOOD.replace("uri: docs", "uri: docs, phase: again"), "needs either 'uri' or 'phase'"),
        (GOOD.replace("max_cost: 10", "max_cost: ten"), "budget: field 'max_cost'"),
        (GOOD.replace("price_per_hour: 2, ", ""), "max_cost needs price_per_hour"),
        (GOOD.replace("out/again", "out/vectors"), "phase again, write: phase vectors writes"),
        (GOOD.replace("uri: docs", "uri: out/vectors"), "phase vectors: reads the table it writes"),
        (GOOD.replace("scheme: binary", "scheme: bianry"), "did you mean 'binary'?"),
    ],
)
def test_a_mistake_has_one_clear_sentence(text, phrase):
    assert any(phrase in sentence for sentence in mistakes(text))


def test_a_phase_reads_an_earlier_phase_never_a_later_one():
    text = GOOD.replace("uri: docs", "phase: again")
    assert "no earlier phase 'again'; there is none" in only_mistake(text)


def test_a_file_that_cannot_be_read_is_a_mistake_of_the_command(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"phases: { \xe9: 1 }")
    with pytest.raises(ConfigError, match="cannot be read"):
        load(str(tmp_path / "latin.yaml"))


@pytest.mark.parametrize(
    "secret",
    ["s3://KEY:s3cr3t@lake/docs", "s3://k:s3c/r3t@lake/docs", "https://:s3cr3t@host/docs"],
)
@pytest.mark.parametrize("rest", ["", "\nphases: [", "\nphases:\n  a: {}\n  a: {}"])
def test_a_secret_in_a_uri_is_refused_and_never_echoed(secret, rest):
    for text in (f"read: {secret}{rest}", f"phases: {{ a: {secret} }}", f"'{secret}': 1"):
        found = "\n".join(mistakes(text))
        assert "a URI holds a password; credentials come from the environment" in found
        assert "s3c" not in found
        assert "r3t" not in found


def test_a_secret_in_an_override_is_refused_and_never_echoed():
    found = "\n".join(mistakes(GOOD, "phases.vectors.raed.uri=s3://key:s3cr3t@lake/docs"))
    assert "a URI holds a password" in found
    assert "s3cr3t" not in found


@pytest.mark.parametrize("key", ["token", "secret_access_key", "password", "hf_token"])
def test_a_field_named_like_a_secret_is_refused_and_its_value_never_echoed(key):
    for change in (f"models.minilm.{key}=hunter2", f"phases.vectors.read.{key}=hunter2"):
        found = "\n".join(mistakes(GOOD, change))
        assert f"{key!r} is the name of a secret; credentials come from the environment" in found
        assert "hunter2" not in found


def test_a_hub_token_is_refused_wherever_it_stands():
    token = "hf_" + "a" * 34
    found = "\n".join(mistakes(GOOD, f"phases.vectors.read.uri=docs/{token}"))
    assert "it holds a model hub's token" in found
    assert token not in found


def test_a_port_in_a_uri_is_no_secret():
    text = GOOD.replace("uri: docs", "uri: 'http://127.0.0.1:8333/lake/v@2'")
    assert parse(text).phases[0].read.uri == "http://127.0.0.1:8333/lake/v@2"


def test_overrides_change_values_by_path_and_steps_by_operator_or_number():
    pipeline = parse(
        GOOD,
        "c.yaml",
        [
            "phases.vectors.read.uri=other",
            "phases.vectors.read.text=[title, text]",
            "phases.vectors.steps.tokenize.max_length=64",
            "phases.vectors.steps.1.resources.workers=5",
            "phases.vectors.steps.quantize.scheme=int8",
            "models.small.path=another/model",
            "phases.again.write.gate.max_bad_rows=0",
        ],
    )
    vectors, again = pipeline.phases
    assert (vectors.read.uri, vectors.read.text) == ("other", ("title", "text"))
    assert vectors.steps[0].operator.max_length == 64
    assert vectors.steps[1].resources.workers == 5
    assert vectors.steps[1].operator.model.path == "another/model"
    assert vectors.steps[2].operator.scheme == "int8"
    assert again.write.gate.max_bad_rows == 0


@pytest.mark.parametrize(
    ("override", "phrase"),
    [
        ("phases", "expected path.to.key=value"),
        ("phases.vectors.read.uri", "expected path.to.key=value"),
        ("phases.vectors.read.uri.deep.er=1", "'phases.vectors.read.uri' holds no keys"),
        ("phases.vectors.steps.7.x=1", "there is no step '7'; name its operator, or a number from"),
        ("phases.vectors.steps.tokenise.x=1", "there is no step 'tokenise'"),
        ("phases.vectors.read.uri=[", "expected the node content"),
        (
            "phases.vectors.read.lmit=1",
            "phase vectors, read: no field 'lmit'; did you mean 'limit'",
        ),
        ("phases.vectros.read.uri=x", "phase vectros: needs 'write'"),
    ],
)
def test_an_override_that_fits_nothing_is_a_mistake(override, phrase):
    assert phrase in only_mistake(GOOD, override)


def test_an_override_by_operator_is_refused_where_two_steps_have_it():
    text = GOOD.replace("- encode", "- tokenize: { model: small }\n      - encode")
    sentence = only_mistake(text, "phases.vectors.steps.tokenize.role=query")
    assert "2 steps are named 'tokenize'; say which by its number" in sentence


def test_a_local_model_folder_is_made_absolute_and_a_hub_name_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("some/model").mkdir(parents=True)
    assert parse(GOOD).phases[0].steps[0].operator.model.path == str(tmp_path / "some/model")
    other = parse(GOOD.replace("some/model", "an-org/its-model"))
    assert other.phases[0].steps[0].operator.model.path == "an-org/its-model"


def test_objects_on_a_store_keep_their_uri():
    text = GOOD.replace("table: out/vectors", "table: s3://lake/vectors/")
    assert parse(text).phases[0].write.table == "s3://lake/vectors"
