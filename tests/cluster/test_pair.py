"""The shipped pair: one corpus through an encoder and a decoder, and what each finds."""

import json
from pathlib import Path

from cluster.cli import status
from tests.lake import QUERIES, beir
from tests.pipeline_builders import lineage_of, write_files
from tests.preset_models import build_preset

CONFIG = Path(__file__).parents[2] / "configs" / "pair.yaml"


def test_the_pair_is_encoded_and_compared(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    beir(tmp_path)
    qrels = "".join(f"{query['_id']}\td{n:03d}\t1\n" for n, query in enumerate(QUERIES))
    write_files(str(tmp_path), {"all.tsv": f"query-id\tcorpus-id\tscore\n{qrels}".encode()})
    changes = []
    for kind in ("encoder", "decoder"):
        folder = build_preset(tmp_path / "models" / kind, f"ettin-{kind}-17m")
        changes += ["--set", f"models.{kind}.path={folder}", "--set"]
        changes += [f"models.{kind}.max_length=64", "--set", f"phases.{kind}.read.uri=beir"]
    assert status(["run", str(CONFIG), *changes]) == 0
    asking = ["--queries", "beir/queries.jsonl", "--qrels", "all.tsv", "--json", "found.json"]
    assert status(["compat", "out/pair/encoder", "out/pair/decoder", *asking]) == 0
    found = json.loads(Path("found.json").read_text())
    own = [found["matrix"][place][place]["ndcg@10"] for place in (0, 1)]
    assert all(0 <= score <= 1 for score in own)
    for kind in ("encoder", "decoder"):
        assert lineage_of(f"out/pair/{kind}")["counts"]["tokens"] > 0
