"""Files and objects by URI: list, read, write once, delete; one sentence when a store refuses."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import unquote

from fsspec.utils import glob_translate

from operators.errors import SourceError
from operators.storage.filesystems import filesystem as filesystem
from operators.storage.filesystems import is_local as is_local
from operators.storage.filesystems import is_s3
from operators.storage.objects import Bucket
from operators.storage.refusals import explained as explained


@dataclass(frozen=True)
class File:
    """One object of a listing; `version` changes when its content may have."""

    uri: str
    size: int
    version: str


def join(base: str, *parts: str) -> str:
    """Append path segments to a URI; SourceError for one that would lead out of it."""
    for part in parts:
        if _climbs(part):
            raise SourceError(base, f"{part!r} leads out of it")
    return "/".join([base.rstrip("/"), *(part.strip("/") for part in parts)])


def leads_out(path: str) -> bool:
    """Whether a path, as a log or a receipt names it, is not one below its folder."""
    return path.startswith("/") or "://" in path or _climbs(path)


def absolute(uri: str) -> str:
    """A local path made absolute, so that workers on other folders mean the same file."""
    return os.path.abspath(uri.removeprefix("file://")) if is_local(uri) else uri.rstrip("/")  # noqa: PTH100 - keeps globs


def list_files(uri: str) -> list[File]:
    """The files of a file, folder (recursive) or glob, sorted by URI; SourceError if none.

    Names that start with `_` or `.` below a folder are bookkeeping, not data, and are left out.
    """
    with explained(uri):
        fs, path = filesystem(uri)
        if _is_glob(path):
            quickly = _quickly_matched(uri, path)
            found = fs.glob(path, detail=True) if quickly is None else quickly
            root = path
        elif fs.isfile(path):
            found = {path: fs.info(path)}
            root = path
        else:
            quickly = _quickly_listed(uri, deep=True)
            found = fs.find(path, detail=True) if quickly is None else quickly
            root = path.rstrip("/") + "/"
    entries = [
        (name, info)
        for name, info in sorted(found.items())
        if info["type"] == "file" and (root == path or not _hidden(name[len(root) :]))
    ]
    if not entries:
        raise SourceError(uri, "no such file, folder or glob, or nothing in it")
    return [
        File(fs.unstrip_protocol(name) if not is_local(uri) else name, info["size"], _version(info))
        for name, info in entries
    ]


def list_names(folder: str) -> list[str]:
    """Names of the objects directly in `folder`, sorted; empty when there is no such folder."""
    return [name for name, _ in list_ages(folder)]


def list_ages(folder: str, *, deep: bool = False) -> list[tuple[str, float]]:
    """(name relative to `folder`, modification time in epoch seconds), sorted by name."""
    fs, path = filesystem(folder)
    root = path.rstrip("/") + "/"
    with explained(folder):
        found = None if deep else _quickly_listed(folder, deep=False)  # marks of runs are empty
        if found is None:
            try:
                found = fs.find(path, maxdepth=None if deep else 1, detail=True)
            except FileNotFoundError:
                return []
    return sorted(
        (name[len(root) :], _modified(info))
        for name, info in found.items()
        if info["type"] == "file" and name.startswith(root)
    )


def list_folders(folder: str) -> list[str]:
    """Names of the folders directly in `folder`, sorted; empty when there is no such folder."""
    return sorted(name for name, info in _entries(folder) if info["type"] == "directory")


def names_in(folder: str) -> list[str] | None:
    """Names of all that lies directly in `folder`, [] if nothing does, None if it is a file."""
    fs, path = filesystem(folder)
    with explained(folder):
        if fs.isfile(path):
            return None
    return sorted(name for name, _ in _entries(folder))


def file_at(uri: str) -> File:
    """The object as a listing would show it now; SourceError when it is not there."""
    fs, path = filesystem(uri)
    with explained(uri):
        info = fs.info(path)
    return File(uri, int(info["size"]), _version(info))


def size_of(uri: str) -> int | None:
    """Bytes of an object, None when it is not there."""
    fs, path = filesystem(uri)
    with explained(uri):
        try:
            return int(fs.info(path)["size"])
        except FileNotFoundError:
            return None


def open_input(uri: str) -> BinaryIO:
    """A seekable, read-ahead stream of the raw bytes."""
    fs, path = filesystem(uri)
    with explained(uri):
        stream: BinaryIO = fs.open(path, "rb")
    return stream


def read_bytes(uri: str, start: int | None = None, stop: int | None = None) -> bytes:
    """The object's bytes in [start, stop)."""
    fs, path = filesystem(uri)
    with explained(uri):
        data: bytes = fs.cat_file(path, start=start, end=stop)
    return data


def write_bytes(uri: str, data: bytes) -> None:
    """Create or replace a small object in one request; a local file appears whole or not at all."""
    fs, path = filesystem(uri)
    with explained(uri):
        if is_local(uri):
            fs.makedirs(fs._parent(path), exist_ok=True)
            part = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.part"
            fs.pipe_file(part, data)
            os.replace(part, path)  # noqa: PTH105 - fsspec paths are strings
        else:
            fs.pipe_file(path, data)


def create_bytes(uri: str, data: bytes) -> bool:
    """Write a small object unless it is there; False when another writer was first.

    On a store an object of these very bytes is ours: its answer to our first try may be lost.
    """
    fs, path = filesystem(uri)
    with explained(uri):
        if is_local(uri):
            fs.makedirs(fs._parent(path), exist_ok=True)
            return _link_new(path, data)
        try:
            fs.pipe_file(path, data, mode="create")
        except OSError as error:
            if isinstance(error, FileExistsError) or _lost_the_race(error):
                return bool(fs.cat_file(path) == data)
            raise
    return True


def delete(uris: list[str]) -> None:
    """Delete objects, one after the other; those already gone are no mistake."""
    for uri in uris:
        fs, path = filesystem(uri)
        with explained(uri), suppress(FileNotFoundError):
            fs.rm_file(path)


def prune(folder: str) -> None:
    """Remove the empty folders under (and at) a local folder; object stores have none."""
    if is_local(folder):
        for path, _, _ in os.walk(absolute(folder), topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(path)  # noqa: PTH106 - os.walk gives strings


def _is_glob(path: str) -> bool:
    return any(mark in path for mark in "*?[")


def _quickly_listed(folder: str, *, deep: bool) -> dict[str, dict[str, Any]] | None:
    """The objects of a folder on S3; None elsewhere, and where the file system has to look."""
    return Bucket(folder).listed(folder, deep=deep) if is_s3(folder) else None


def _quickly_matched(glob: str, path: str) -> dict[str, dict[str, Any]] | None:
    """The objects that a glob names, where only its last segment has marks; else None."""
    folder, _, name = glob.rpartition("/")
    if _is_glob(folder) or "**" in name:
        return None
    found = _quickly_listed(folder, deep=False)
    matches = re.compile(glob_translate(path)).match
    return found and {key: info for key, info in found.items() if matches(key)}


def _climbs(path: str) -> bool:
    """Whether a segment is `..`, also as a URL spells it: a Delta log holds encoded paths."""
    return ".." in unquote(path).split("/")


def _entries(folder: str) -> list[tuple[str, dict[str, Any]]]:
    fs, path = filesystem(folder)
    with explained(folder):
        try:
            found = fs.ls(path, detail=True)
        except FileNotFoundError:
            return []
    named = [(info["name"].rstrip("/").rpartition("/")[2], info) for info in found]
    return [(name, info) for name, info in named if info["name"].rstrip("/") != path.rstrip("/")]


def _hidden(relative: str) -> bool:
    return any(part.startswith(("_", ".")) for part in relative.split("/"))


def _version(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "md5Hash", "mtime_ns", "mtime", "LastModified"):
        if info.get(key) is not None:
            return str(info[key]).strip('"')
    return ""


def _modified(info: dict[str, Any]) -> float:
    stamp = info.get("LastModified", info.get("mtime", 0.0))
    return float(stamp.timestamp() if hasattr(stamp, "timestamp") else stamp)


def _link_new(path: str, data: bytes) -> bool:
    """Publish a local file by hard link, which fails when the name exists: an atomic create."""
    part = f"{path}.{os.getpid()}.{os.urandom(4).hex()}.part"
    with open(part, "wb") as stream:  # noqa: PTH123 - fsspec paths are strings
        stream.write(data)
    try:
        os.link(part, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(part)  # noqa: PTH108
    return True


def _lost_the_race(error: OSError) -> bool:
    """Whether the store answered 412; s3fs hides it where the body lacks a condition."""
    response = getattr(error.__cause__, "response", None) or {}
    return response.get("Error", {}).get("Code") in {"PreconditionFailed", "412"} or (
        response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412
    )
