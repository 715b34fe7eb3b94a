"""Documents whose texts lie in a table of their own, found there by id."""

import numpy as np
import pyarrow as pa
import pytest

from operators.arrays import whole
from operators.errors import ConfigError
from operators.mine.texts import placed
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.text.fetch import fetch
from operators.text.source import Source
from tests.corpora import planned
from tests.mined import table_of

TEXTS = [f"text {n} of it" for n in range(20)]


@pytest.fixture
def source(tmp_path):
    """A table of the texts d0 to d19 in three files, in no order."""
    order = np.random.default_rng(0).permutation(len(TEXTS))
    rows = pa.table({"id": [f"d{n}" for n in order], "text": [TEXTS[n] for n in order]})
    uri = str(tmp_path / "texts")
    shards = [write_shard(uri, "r", f"u{n}", rows.slice(n * 8, 8), {}) for n in range(3)]
    Table(uri).commit(-1, rows.schema, shards, {}, "key")
    return planned(Source(uri=uri))[0].source


def test_each_document_has_the_place_from_which_its_own_text_is_read(source):
    documents = table_of(TEXTS).take(pa.array([7, 3, 19, 0]))
    found = placed(documents, source)
    names = ("source_file", "source_row", "content_hash")
    texts = fetch(source, *(whole(found[name]) for name in names))
    assert texts.to_pylist() == [TEXTS[n] for n in (7, 3, 19, 0)]
    same = ("id", "content_hash", "parent_id", "kind")
    assert found.schema == documents.schema
    assert found.select(same).equals(documents.select(same))


def test_no_documents_are_placed_nowhere(source):
    none = table_of(TEXTS).slice(0, 0)
    assert placed(none, source).equals(none)


def test_a_document_without_a_text_is_named(source):
    with pytest.raises(ConfigError, match="has no text of d20, which was searched"):
        placed(table_of([*TEXTS, "another"]), source)
