"""Is a table what its commit says: every byte read again, and a sample of rows encoded again."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from operators import columns
from operators.errors import CorpusmillError, TableError
from operators.storage.parquet import checksum_of, has_its_content, read_shard, shard_metadata
from operators.storage.receipts import RunFolder
from operators.storage.table import Table, TableFile
from pipelines.fingerprint import fingerprints
from pipelines.merging import merges
from pipelines.plan import PhasePlan, plan_phase
from pipelines.recorded import recalled
from pipelines.resample import cosines, has_vectors, least_cosine, made_again
from pipelines.sample import sampled_rows

CHANGED = "it was changed after its commit"
_PLACES = 8


def verify_table(uri: str, rows: int = 32) -> Iterator[str]:
    """Re-read every shard of the newest version and encode `rows` rows again; yields what held.

    Content (a shard's name holds its digest), bytes (as long as the run's receipts are kept), row
    counts, schema, fingerprint, duplicate ids within a shard, and vectors. TableError tells the
    first thing that did not hold.
    """
    table = Table(uri)
    version = table.version()
    if version < 0:
        raise TableError(uri, "there is no table here")
    files, schema = table.files(version), table.schema(version)
    lineage = table.lineage(version)
    if lineage is None or "counts" not in lineage:
        raise TableError(uri, f"version {version} was not committed by corpusmill")
    checksums = _checksums(uri, files)
    for file in files:
        _check_bytes(uri, file, checksums)
        _check_file(uri, file, schema, lineage)
    total = sum(file.rows for file in files)
    expected = lineage["counts"]["rows_out"] + lineage.get("kept_rows", 0)
    if total != expected:
        raise TableError(uri, f"holds {total} rows, and its commit says {expected}")
    yield f"version {version}: {total:,} rows in {len(files)} files"
    yield "checksums, counts, schema and fingerprint of every file hold"
    yield _check_sample(uri, files, lineage, rows)


def _checksums(uri: str, files: list[TableFile]) -> dict[str, str]:
    """The checksum of each file's bytes, from the receipts of the runs that wrote them."""
    written = {file.path.split("/")[1] for file in files if file.path.startswith("data/")}
    receipts = [
        receipt for run in sorted(written) for receipt in RunFolder(uri, run).receipts().values()
    ]
    return {shard.path: shard.checksum for receipt in receipts for shard in receipt.shards}


def _check_bytes(uri: str, file: TableFile, checksums: dict[str, str]) -> None:
    expected = checksums.get(file.path)
    if expected is not None and checksum_of(file.uri) != expected:
        raise TableError(uri, f"{file.path} does not hold the bytes that were written; {CHANGED}")


def _check_file(uri: str, file: TableFile, schema: pa.Schema, lineage: dict[str, Any]) -> None:
    if not has_its_content(uri, file.path):
        raise TableError(uri, f"{file.path} does not hold what its name says; {CHANGED}")
    found = read_shard(uri, file.path)
    notes = shard_metadata(file.uri)
    if len(found) != file.rows:
        raise TableError(uri, f"{file.path} has {len(found)} rows, the log says {file.rows}")
    if found.schema.names != schema.names:
        raise TableError(uri, f"{file.path} has columns {found.schema.names}, not {schema.names}")
    if pc.count_distinct(found[columns.ID.name]).as_py() != len(found):
        raise TableError(uri, f"{file.path} holds an id twice")
    ours = not lineage.get("kept_rows") or file.path.split("/")[1] == lineage["run_key"]
    if ours and notes.get("corpusmill.fingerprint") != lineage["recipe"]:
        raise TableError(uri, f"{file.path} was made by another recipe than its commit says")


def _check_sample(uri: str, files: list[TableFile], lineage: dict[str, Any], rows: int) -> str:
    phase = recalled(uri, lineage)
    try:
        found = fingerprints(phase.read, phase.steps)["recipe"]
        plan = plan_phase(replace(phase, read=replace(phase.read)))
    except CorpusmillError as error:
        return f"no row encoded again: {error}"
    if found != lineage["recipe"]:
        return "no row encoded again: a model or operator changed since; run again to re-embed"
    if merges(plan.job) is not None:
        return "no row made again: each was joined of rows from all over the source"
    if plan.accumulates:
        return "no row made again: a run makes only the rows that the table has not"
    again = _encoded_again(plan, rows)
    stored = _stored(uri, files, again)
    if not len(again) or not len(stored):
        return "no row encoded again: none of the sampled source rows is in the table any more"
    same, stored = _of_one_content(again, stored)
    if not len(stored):
        return "no row encoded again: all of the sampled rows have changed in the source since"
    lowest = _compare(uri, same, stored)
    if lowest is None:
        return f"{len(stored)} rows made again: equal"
    return f"{len(stored)} rows encoded again: lowest cosine {lowest:.6f}"


def _encoded_again(plan: PhasePlan, rows: int) -> pa.Table:
    """Rows from all over the source, taken through every step anew."""
    table = sampled_rows(plan.source, plan.units, rows, _PLACES)
    return made_again(plan.job, table).slice(0, rows)


def _stored(uri: str, files: list[TableFile], again: pa.Table) -> pa.Table:
    """The stored rows of the same id and content."""
    wanted = pc.cast(again[columns.ID.name], pa.string())
    found = []
    for file in files:
        table = read_shard(uri, file.path)
        found.append(table.filter(pc.is_in(table[columns.ID.name], wanted.combine_chunks())))
    return pa.concat_tables(found)


def _of_one_content(again: pa.Table, stored: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of one id and one content, made again and as they are stored, side by side."""
    order = pc.index_in(stored[columns.ID.name], again[columns.ID.name].combine_chunks())
    same = again.take(order)
    name = columns.CONTENT_HASH.name
    kept = pc.equal(same[name], stored[name])
    return same.filter(kept), stored.filter(kept)


def _compare(uri: str, same: pa.Table, stored: pa.Table) -> float | None:
    """Lowest cosine between rows of one id; None where there are no vectors to compare."""
    if not has_vectors(stored.schema):
        return None
    lowest = float(cosines(uri, same, stored).min())
    if lowest < least_cosine(stored.schema):
        raise TableError(uri, f"a row encoded again has cosine {lowest:.6f} to what is stored")
    return lowest
