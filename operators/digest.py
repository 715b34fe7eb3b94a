"""Content digests of files and JSON values, remembered while the file stays as it was."""

import hashlib
import json
from pathlib import Path

_KNOWN: dict[tuple[str, int, int], str] = {}


def of_file(path: Path) -> str:
    """Hex sha256 of the file's bytes; read again only when its size or modification time differ."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _KNOWN:
        with path.open("rb") as stream:
            _KNOWN[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _KNOWN[key]


def of_json(value: object) -> str:
    """Hex sha256 of a JSON value's canonical form: sorted keys, no spaces."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
