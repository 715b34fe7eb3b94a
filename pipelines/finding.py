"""Which files a source means, and their format: told by names, never by opening rows."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from operators.errors import SourceError
from operators.storage import uri as store
from operators.storage.table import Table
from operators.text.source import Format, Source

Kind = Literal["parquet", "jsonl", "csv"]
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("parquet", "pq"), "parquet"),
    **dict.fromkeys(("jsonl", "ndjson", "json"), "jsonl"),
    **dict.fromkeys(("csv", "tsv"), "csv"),
}
_READ_AS: dict[str, Kind] = {
    "parquet": "parquet",
    "delta": "parquet",
    "jsonl": "jsonl",
    "beir": "jsonl",
    "csv": "csv",
}
_PACKED = ("gz", "zst", "zstd")


@dataclass(frozen=True)
class Found:
    """The files of a source, sorted; `version` is a Delta table's, -1 for files."""

    format: Format
    files: tuple[store.File, ...]
    version: int = -1
    columns: tuple[str, ...] = ()
    """Of a Delta table; of files only reading tells."""

    @property
    def kind(self) -> Kind:
        """How the files are read: a BEIR folder is JSON lines, a Delta table is Parquet."""
        return _READ_AS[self.format]


def find(source: Source) -> Found:
    """The files that will be read; SourceError where there are none or of several formats.

    A folder with a `_delta_log` is a Delta table, one with corpus and queries as JSON lines a BEIR
    folder. Asked for by name, a format takes the files whose names fit it, else those whose names
    tell nothing.
    """
    if not source.uri:
        raise SourceError(source.phase or "(none)", "no uri is given")
    uri = store.absolute(source.uri)
    if source.format == "delta" or store.list_names(store.join(uri, "_delta_log")):
        return _find_delta(source, uri)
    beir = _beir_files(uri, source.part) if source.format in {"auto", "beir"} else []
    if beir or source.format == "beir":
        if not beir:
            raise SourceError(uri, f"no BEIR folder: it holds no {source.part}.jsonl")
        return Found("beir", tuple(store.list_files(store.join(uri, beir[0]))))
    return _of_one_format(source, uri, store.list_files(uri))


def _find_delta(source: Source, uri: str) -> Found:
    if source.format not in {"auto", "delta"}:
        raise SourceError(
            uri, f"it is a Delta table; read it with format delta, not {source.format}"
        )
    table = Table(uri)
    newest = table.version()
    if newest < 0:
        raise SourceError(uri, "there is no Delta table")
    version = newest if source.version < 0 else source.version
    if version > newest:
        raise SourceError(uri, f"it has no version {version}; the newest is {newest}")
    table.check_rows(version)
    files = [store.File(file.uri, file.size, "") for file in table.files(version)]
    return Found("delta", tuple(files), version, tuple(table.schema(version).names))


def _beir_files(uri: str, part: str) -> list[str]:
    """The file of that half, if the folder is laid out as BEIR does."""
    if any(mark in uri for mark in "*?["):
        return []
    names = [name for name in store.list_names(uri) if _kind_of_name(name) == "jsonl"]
    halves = {name.partition(".")[0] for name in names}
    if not {"corpus", "queries"} <= halves:
        return []
    return [name for name in names if name.partition(".")[0] == part]


def _kind_of_name(name: str) -> Kind | None:
    """The format a file's name tells, None where it tells none."""
    head, _, last = name.lower().rpartition(".")
    packed = last in _PACKED
    kind = _KINDS.get(head.rpartition(".")[2] if packed else last)
    return None if packed and kind == "parquet" else kind


def _of_one_format(source: Source, uri: str, files: list[store.File]) -> Found:
    """Files of the format asked for, or of the only one there is."""
    kinds = [_kind_of_name(file.uri) for file in files]
    wanted = source.format if source.format != "auto" else kinds[0]
    if wanted not in _READ_AS or (source.format == "auto" and len(set(kinds)) > 1):
        raise SourceError(uri, f"{_inventory(files)}; name the files of one format by a glob")
    chosen = [file for file, kind in zip(files, kinds, strict=True) if kind == wanted]
    chosen = chosen or [file for file, kind in zip(files, kinds, strict=True) if kind is None]
    if not chosen:
        raise SourceError(uri, f"it holds no {wanted} file; {_inventory(files)}")
    return Found(_KINDS[str(wanted)], tuple(chosen))


def _inventory(files: list[store.File]) -> str:
    counts = Counter(_kind_of_name(file.uri) or "other" for file in files)
    others = [file.uri.rpartition("/")[2] for file in files if _kind_of_name(file.uri) is None]
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return f"it holds {told}" + (f" (such as {others[0]})" if others else "")
