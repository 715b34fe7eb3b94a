"""What other engines write into a table's log: a row deleted without its file, a renamed column."""

import base64
import json
import struct
from typing import Any

from operators.storage import log
from operators.storage import uri as store
from operators.storage.table import Table

_PYTHON = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"


def delete_first_row(uri: str) -> None:
    """Give the first file a deletion vector, as Spark's DELETE does; the next version has it."""
    file, *_ = Table(uri).files()
    gone = {"path": file.path, "deletionTimestamp": 0, "dataChange": True}
    left = {
        "path": file.path,
        "partitionValues": {},
        "size": file.size,
        "modificationTime": 0,
        "dataChange": True,
        "stats": json.dumps({"numRecords": file.rows}),
        "deletionVector": _first_row(),
    }
    _entry(uri, "deletionVectors", {"remove": gone}, {"add": left})


def allow_deletion_vectors(uri: str) -> None:
    """Turn the feature on, as some engines do for every table that they make."""
    _entry(uri, "deletionVectors")


def map_columns(uri: str) -> None:
    """Let the columns of the next version have names of their own in the files."""
    text = store.read_bytes(store.join(uri, "_delta_log", f"{0:020d}.json"))
    metadata = next(a["metaData"] for a in map(json.loads, text.splitlines()) if "metaData" in a)
    fields = json.loads(metadata["schemaString"])
    for number, field in enumerate(fields["fields"], 1):
        field["metadata"] |= {
            "delta.columnMapping.id": number,
            "delta.columnMapping.physicalName": f"col-{number}",
        }
    metadata["schemaString"] = json.dumps(fields)
    metadata["configuration"] |= {"delta.columnMapping.mode": "name"}
    _entry(uri, "columnMapping", {"metaData": metadata})


def _entry(uri: str, feature: str, *actions: dict[str, Any]) -> None:
    features = {"readerFeatures": [feature], "writerFeatures": [feature]}
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    info = {"timestamp": 0, "operation": "DELETE"}
    version = log.newest_version(uri) + 1
    every = [{"commitInfo": info}, {"protocol": protocol}, *actions]
    data = b"\n".join(json.dumps(action).encode() for action in every)
    store.write_bytes(store.join(uri, "_delta_log", f"{version:020d}.json"), data)


def _first_row() -> dict[str, Any]:
    """A vector that deletes row 0: one bitmap of one container of one value, inline."""
    bitmap = struct.pack("<IIHHIH", 12346, 1, 0, 0, 16, 0)
    data = struct.pack("<IQI", 1681511377, 1, 0) + bitmap
    padded = data + bytes(-len(data) % 4)
    told = base64.b85encode(padded).translate(bytes.maketrans(_PYTHON, _Z85))
    return {
        "storageType": "i",
        "pathOrInlineDv": told.decode(),
        "sizeInBytes": len(data),
        "cardinality": 1,
    }
