"""Ids, phases and files may be called anything: what is written stays where it belongs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.execute import run_pipeline
from cluster.local import LocalRunner
from cluster.progress import Progress
from pipelines.config import parse
from tests.pipeline_builders import ids_of, lines, write_files

NASTY = st.sampled_from(
    [
        "../../x",
        "/etc/passwd",
        "..",
        ".",
        "a/../../b",
        "%2e%2e/x",
        "s3://b/k",
        "~/x",
        "C:\\x",
        "é/ü",
    ]
)
IDS = st.lists(NASTY | st.text(min_size=1, max_size=9), min_size=1, max_size=5, unique=True)


def files_under(folder: Path) -> Iterator[str]:
    return (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@settings(max_examples=5, deadline=None)
@given(ids=IDS, phase=NASTY, name=st.sampled_from(["a b", "a..b", "%2e%2e", "ü", "x#y", "a'b\"c"]))
def test_whatever_ids_phases_and_files_are_called_all_lands_in_the_table(
    tmp_path_factory, ids, phase, name
):
    base = tmp_path_factory.mktemp("base")
    rows = [{"id": each, "text": f"text of {number}"} for number, each in enumerate(ids)]
    docs = write_files(str(base / "docs"), {f"{name}.jsonl": lines(rows)})
    there = set(files_under(base))
    gate = {"max_bad_rows": 1.0}
    phases = {phase: {"read": {"uri": docs}, "write": {"table": str(base / "out"), "gate": gate}}}
    run_pipeline(parse(yaml.safe_dump({"phases": phases})), LocalRunner(), Progress(quiet=True))
    assert {path.split("/")[0] for path in set(files_under(base)) - there} == {"out"}
    assert set(ids_of(str(base / "out"))) <= set(ids)
    assert {path.name for path in base.iterdir()} == {"docs", "out"}


def test_a_model_whose_own_files_name_others_outside_its_folder_is_refused(tmp_path, tiny_model):
    import shutil

    from operators.errors import ModelError
    from operators.model import Model, resolve

    for file, change in (
        ("modules.json", lambda found: found[0].update(path="../tiny")),
        (
            "model.safetensors.index.json",
            lambda found: found.update(weight_map={"a": "../../secret.safetensors"}),
        ),
    ):
        folder = tmp_path / file / "tiny"
        shutil.copytree(tiny_model, folder)
        place = next(iter(folder.rglob(file)), folder / file)
        if file.startswith("model"):
            whole = next(folder.rglob("model.safetensors"))
            place = whole.parent / file
            whole.unlink()
        found = json.loads(place.read_text()) if place.exists() else {}
        change(found)
        place.write_text(json.dumps(found))
        with pytest.raises(ModelError, match="outside of its folder"):
            resolve(Model(str(folder)))
