"""Thousands of small objects at once: their bytes, their sizes, their removal.

On S3 this goes through deltalake's client: 0.7 ms of CPU an object where s3fs takes 5 ms.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import FileInfo, FileType

from operators.storage import uri as store
from operators.storage.refusals import explained

_PARALLEL = 16
_SCHEMES = ("s3://", "s3a://")

Result = TypeVar("Result")


def read_many(uris: list[str]) -> list[bytes]:
    """The bytes of several objects, fetched side by side, in the order asked."""
    return _side_by_side(_read, store.read_bytes, uris)


def sizes_of(uris: list[str]) -> list[int | None]:
    """Bytes of each object by one HEAD each, asked side by side; None where it is not there."""
    return _side_by_side(_size, store.size_of, uris)


def delete(uris: list[str]) -> None:
    """Delete objects side by side; those already gone are no mistake."""
    _side_by_side(_delete, lambda uri: store.delete([uri]), uris)


def options(uri: str) -> dict[str, str]:
    """Storage options for deltalake, which finds the credentials in the environment itself."""
    if store.is_local(uri):
        return {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    found = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    return found | ({"AWS_ALLOW_HTTP": "true"} if endpoint.startswith("http://") else {})


def _side_by_side(
    on_s3: Callable[[DeltaStorageHandler, str], Result],
    elsewhere: Callable[[str], Result],
    uris: list[str],
) -> list[Result]:
    if not uris:
        return []
    with ThreadPoolExecutor(_PARALLEL) as pool:
        if not uris[0].startswith(_SCHEMES):
            return list(pool.map(elsewhere, uris))
        scheme, _, path = uris[0].partition("://")
        bucket = f"{scheme}://{path.partition('/')[0]}"
        with explained(bucket):
            handler = DeltaStorageHandler(bucket, options=options(bucket))

        def ask(uri: str) -> Result:
            with explained(uri):
                return on_s3(handler, uri.removeprefix(bucket + "/"))

        return list(pool.map(ask, uris))


def _read(handler: DeltaStorageHandler, key: str) -> bytes:
    return bytes(handler.open_input_file(key).read())


def _size(handler: DeltaStorageHandler, key: str) -> int | None:
    info: FileInfo = handler.get_file_info([key])[0]
    return info.size if info.type == FileType.File else None


def _delete(handler: DeltaStorageHandler, key: str) -> None:
    with suppress(FileNotFoundError):
        handler.delete_file(key)
