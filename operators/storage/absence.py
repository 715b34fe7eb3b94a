"""The proof that nothing under a table holds certain ids."""

from collections.abc import Iterable
from dataclasses import dataclass

from operators.errors import TableError
from operators.storage import uri as store
from operators.storage.inventory import LOG, inventory, read_objects, searchable
from operators.storage.log_search import log_objects
from operators.storage.parquet import picked
from operators.storage.search import Wanted, search_rows


@dataclass(frozen=True)
class Proof:
    """What was searched, and held none."""

    parquet: int
    columns: int
    json: int
    others: int
    """Objects that are neither: arrays of artefacts, names of pins, empty markers."""


def prove_absence(uri: str, wanted: Wanted, ignored: Iterable[str] = ()) -> Proof:
    """Search everything under a table but the columns ignored.

    TableError names the first object that holds an id, or cannot be read.
    """
    there, columns = inventory(uri), 0
    for path in there.parquet:
        place = store.join(uri, path)
        with picked(place) as file:
            columns += len(file.schema_arrow.names)
        if path.startswith(LOG):
            continue
        for rows in search_rows(place, wanted, ignored):
            if rows.hits:
                raise _left(uri, path, f"holds an erased id in column {', '.join(rows.hits)}")
    objects = read_objects(uri, (path for path in there.json if not path.startswith(LOG)))
    for path, value in (*objects.items(), *log_objects(uri, there)):
        if wanted.in_json(searchable(value)):
            raise _left(uri, path, "holds an erased id")
    if there.leftovers:
        raise _left(uri, there.leftovers[0], "is half written and cannot be searched")
    return Proof(len(there.parquet), columns, len(there.json), len(there.others))


def _left(uri: str, path: str, what: str) -> TableError:
    hint = "if a run was writing, stop it; then erase again"
    return TableError(uri, f"{path} {what}; {hint}")
