"""Rows that kept their vectors are encoded again, and must be what is stored."""

from dataclasses import replace
from pathlib import Path

import pytest

from operators.errors import GateError
from operators.storage.parquet import Shard
from operators.storage.table import Table
from pipelines.publish import publish
from pipelines.resample import LEAST_COSINE, LEAST_COSINE_OF_BITS, resample
from pipelines.spec import Asked
from pipelines.update import Update
from tests.gated import Site, checks, worked
from tests.pipeline_builders import good_rows, ids_of, lineage_of
from tests.tiny_models import break_token, build_bert

SCHEMES = [{"scheme": "int8"}, {"scheme": "fp16"}, {"scheme": "binary"}, {"keep_embedding": True}]
NAMES = [f"d{n:04d}" for n in range(50)]


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    return build_bert(tmp_path_factory.mktemp("models") / "other", seed=1)


@pytest.fixture
def site(tmp_path, tiny_model):
    """One file of 40 documents; what is put beside it later is new to the version there is."""
    return begun(str(tmp_path), tiny_model)


def begun(base: str, model: Path) -> Site:
    made = Site(base, model)
    made.put(a=good_rows(0, 40))
    return made


def files_of(table: str) -> list[Shard]:
    return [Shard(file.path, file.rows, file.size, "") for file in Table(table).files()]


@pytest.mark.parametrize("quantize", SCHEMES, ids=str)
def test_rows_that_kept_their_vectors_are_encoded_again_and_recorded(site, quantize):
    site.publish(site.plan(quantize=quantize))
    assert "sample" not in checks(lineage_of(site.table)), "everything was encoded just now"
    site.put(b=good_rows(40, 50))
    assert site.publish(site.plan(quantize=quantize), only="b.jsonl") == 1
    found = checks(lineage_of(site.table))["sample"]
    assert found["found"] >= 0.999999
    bits = quantize == {"scheme": "binary"}
    assert found["least"] == (LEAST_COSINE_OF_BITS if bits else LEAST_COSINE)
    assert ids_of(site.table) == NAMES


def test_the_files_may_lie_on_any_store(store, tiny_model):
    site = begun(store, tiny_model)
    site.publish(site.plan())
    site.put(b=good_rows(40, 50))
    site.publish(site.plan(), only="b.jsonl")
    assert checks(lineage_of(site.table))["sample"]["found"] >= 0.999999


@pytest.mark.parametrize("quantize", SCHEMES, ids=str)
def test_vectors_that_the_recipe_no_longer_makes_are_not_published_again(
    site, other_model, quantize
):
    site.claimed(other_model, quantize=quantize)
    site.put(b=good_rows(40, 50))
    plan = site.plan(quantize=quantize)
    assert lineage_of(site.table)["recipe"] == plan.fingerprints["recipe"]
    with pytest.raises(GateError, match="rows encoded again are not what is stored") as refused:
        site.publish(plan, only="b.jsonl")
    assert refused.value.exit_code == 4
    assert Table(site.table).version() == 0
    (reason,) = (plan.job.folder.entry() or {})["reasons"]
    assert "unchanged rows" in reason

    unchecked = site.plan(quantize=quantize, gate={"sample": 0})
    assert site.publish(unchecked, only="b.jsonl") == 1


def test_vectors_taken_over_for_equal_texts_are_looked_at_too(site, other_model):
    foreign = worked(replace(site, model=other_model).plan())
    with pytest.raises(GateError, match="rows encoded again are not what is stored"):
        publish(site.plan(), foreign, {}, Update(reused=5))
    assert publish(site.plan(), worked(site.plan()), {}, Update(reused=5))[0] == 0
    assert checks(lineage_of(site.table))["sample"]["found"] >= 0.999999


def test_kept_files_come_before_those_just_written(site, other_model):
    site.publish(site.plan())
    kept = files_of(site.table)
    new = [s for r in worked(replace(site, model=other_model).plan()).values() for s in r.shards]
    job = site.plan().job
    found, other = (resample(job, old, new, 16, map) for old in (kept, ()))
    assert (found.differing, other.differing) == (0, other.rows)


def test_at_most_eight_files_are_read_and_the_run_decides_which(site):
    site.publish(site.plan(read={"unit_bytes": 100}))
    kept = files_of(site.table)
    assert len(kept) > 16
    assert max(shard.rows for shard in kept) == 2
    job = site.plan().job
    found = [resample(job, kept, (), 100, map) for _ in range(2)]
    assert found[0] == found[1]
    assert 8 <= found[0].rows <= 16
    assert resample(job, kept, (), 3, map).rows == 3


@pytest.mark.parametrize(
    ("rows", "phrase"),
    [
        ([{**row, "text": str(row["text"]).upper()} for row in good_rows(0, 40)], "has changed"),
        ([{"id": "d0000", "text": "all that is left"}], "is not as it was embedded"),
    ],
)
def test_a_kept_row_whose_text_is_another_by_now_is_refused(site, rows, phrase):
    site.publish(site.plan())
    site.put(a=rows, b=good_rows(40, 50))
    with pytest.raises(GateError, match=phrase):
        site.publish(site.plan(), only="b.jsonl")
    assert Table(site.table).version() == 0


def test_a_text_of_several_columns_is_read_again_as_it_was(tmp_path, tiny_model):
    site = Site(str(tmp_path), tiny_model)
    read = {"text": ["title", "text"], "keep": ["lang"], "normalize": "NFKC"}
    rows = [{**row, "title": f"№ {n}", "lang": "en"} for n, row in enumerate(good_rows(0, 50))]
    site.put(a=rows[:40])
    site.publish(site.plan(read=read))
    site.put(b=rows[40:])
    site.publish(site.plan(read=read), only="b.jsonl")
    assert checks(lineage_of(site.table))["sample"]["found"] >= 0.999999


def test_who_forces_a_version_is_recorded_with_what_it_overrides(site, other_model):
    site.claimed(other_model)
    site.put(b=good_rows(40, 50))
    asked = Asked(forced_by="ada@host", forced_because="the new kernels are wanted")
    assert site.publish(site.plan(asked), only="b.jsonl") == 1
    told = lineage_of(site.table)
    assert (told["forced"]["by"], told["forced"]["because"]) == (
        "ada@host",
        "the new kernels are wanted",
    )
    assert told["forced"]["reasons"] == [checks(told)["sample"]["reason"]]


def test_a_kept_row_that_the_steps_refuse_by_now_is_refused(tmp_path):
    site = begun(str(tmp_path), build_bert(tmp_path / "model"))
    site.publish(site.plan())
    break_token(site.model, "p")
    site.put(b=[{"id": "new", "text": "quite an other text"}])
    with pytest.raises(GateError, match="16 of 16 unchanged rows have a text that the steps ref"):
        site.publish(site.plan(), only="b.jsonl")
