"""Small committed tables of negatives and triples whose texts lie in files, and a CLI to export."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from operators.beside import Beside
from operators.distil.distil import Distil
from operators.distil.distiller import Distiller
from operators.storage import uri as storage
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.text.source import Source
from tests import corpora
from tests.mined_rows import SCHEMA

QUERIES: list[corpora.Row] = [(f"q{n}", f"what is query {n}") for n in range(8)]
DOCUMENTS: list[corpora.Row] = [(f"d{n}", f"the passage {n} says so") for n in range(40)]
TEXT = dict((*QUERIES, *DOCUMENTS))


class Collection:
    """Queries and documents in files, read as mining reads them."""

    def __init__(self, place: str, form: str = "jsonl") -> None:
        self.place = place
        self.sources: dict[str, Source] = {}
        self.rows: dict[str, pa.Table] = {}
        for name, rows in (("queries", QUERIES), ("documents", DOCUMENTS)):
            uri = f"{place}/{name}.{form}"
            storage.write_bytes(uri, corpora.encode(form, rows))
            listing, _ = corpora.planned(Source(uri=uri))
            self.sources[name] = listing.source
            self.rows[name] = corpora.read(Source(uri=uri)).combine_chunks()

    def hash_of(self, name: str) -> bytes:
        """content_hash of a query or document."""
        return self._at("queries" if name.startswith("q") else "documents", name, "content_hash")

    def recorded(self, operator: str) -> dict[str, object]:
        """What a commit says of its step."""
        fields = {name: asdict(source) for name, source in self.sources.items()}
        return {"config": {"steps": [{operator: fields}]}}

    def mined(
        self, *rows: tuple[str, list[str], list[str]], scores: Mapping[str, float]
    ) -> pa.Table:
        """Mined rows: a query, its positives, its negatives; the scores are of documents."""
        made = [self._row(query, good, bad, scores) for query, good, bad in rows]
        return pa.Table.from_pylist(made, schema=SCHEMA)

    def negatives(self, mined: pa.Table) -> str:
        """The mined rows as a table."""
        return self._committed("negatives", mined, "mine")

    def triples(self, mined: pa.Table, target: str, logits: Mapping[str, float]) -> str:
        """The mined rows distilled with one teacher's logits of the documents."""
        names = {self._at("documents", n, "content_hash"): logits[n] for n in logits}

        def teacher(queries: pa.Array, documents: pa.Array):
            return np.array([names.get(each, np.nan) for each in documents.to_pylist()], np.float32)

        if target == "judged":
            how, teachers = Distil(), []
        else:
            how = Distil(scores=Beside(uri="s"), teachers=("t",), target=target)
            teachers = [teacher]
        made = Distiller(how, teachers).distilled(mined)
        return self._committed(target, made.select(how.bind(mined.schema).names), "distil")

    def _committed(self, name: str, table: pa.Table, operator: str) -> str:
        uri = f"{self.place}/{name}"
        half = len(table) // 2
        parts = [table.slice(0, half), table.slice(half)]
        shards = [write_shard(uri, "r", f"u{n}", part, {}) for n, part in enumerate(parts)]
        Table(uri).commit(-1, table.schema, shards, self.recorded(operator), "key")
        return uri

    def _row(self, query: str, good: list[str], bad: list[str], scores: Mapping[str, float]):
        row = {
            "id": query,
            "query_id": query,
            **{
                name: self._at("queries", query, name)
                for name in ("content_hash", "source_file", "source_row")
            },
        }
        for role, names in (("positive", good), ("negative", bad)):
            row |= {
                f"{role}_ids": names,
                f"{role}_scores": [scores.get(name, 0.5) for name in names],
                f"{role}_hashes": [self._at("documents", n, "content_hash") for n in names],
                f"{role}_files": [self._at("documents", n, "source_file") for n in names],
                f"{role}_rows": [self._at("documents", n, "source_row") for n in names],
            }
        return row

    def _at(self, which: str, name: str, column: str):
        return self.rows[which][column][int(name[1:])].as_py()


def exported(arguments: list[str]) -> int:
    """The exit status of `corpusmill export`."""
    from cluster.cli import status

    return status(["export", *arguments])
