"""Scores as `teach` commits them."""

from collections.abc import Mapping

import pyarrow as pa

from operators import columns
from operators.beside import Beside
from operators.storage.parquet import write_shard
from operators.storage.table import Table
from operators.teach.stored import pair_ids

SCHEMA = pa.schema(
    [columns.ID, columns.QUERY_HASH, columns.DOC_HASH, columns.TEACHER, columns.LOGIT]
)


def scores_table(
    place: str, kind: str = "cross-encoder", **teachers: Mapping[tuple[bytes, bytes], float]
) -> Beside:
    """A committed table of the logits of each (query hash, document hash), by fingerprint."""
    rows = [(*pair, name, s) for name, logits in teachers.items() for pair, s in logits.items()]
    queries, documents, names, logits = (
        pa.array([row[place] for row in rows], field.type)
        for place, field in enumerate(list(SCHEMA)[1:])
    )
    ids = pair_ids(queries, documents, names)
    made = pa.table([ids, queries, documents, names, logits], schema=SCHEMA)
    steps = [
        {
            "teach": {
                "teacher": kind,
                "fingerprint": name,
                "model": {"path": f"m/{name}-x"},
            }
        }
        for name in teachers
    ]
    shards = [write_shard(place, "r", "u", made, {})]
    Table(place).commit(-1, SCHEMA, shards, {"config": {"steps": steps}}, "key")
    return Beside(uri=place, version=0)
