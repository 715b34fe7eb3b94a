"""Thousands of small objects at once: their bytes, their ranges, their sizes, their removal."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import S3Store

from operators.storage import uri as store
from operators.storage.filesystems import is_s3
from operators.storage.objects import Bucket

PARALLEL = 32
"""Requests under way at once."""

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


def range_reader(uri: str) -> Callable[[str, int, int], bytes]:
    """What reads [start, stop) of objects beside `uri`, for many threads."""
    if not is_s3(uri):
        return store.read_bytes
    bucket = Bucket(uri)

    def read(uri: str, start: int, stop: int) -> bytes:
        return bucket.ask(
            uri,
            lambda client, key: obstore.get_range(client, key, start=start, end=stop).to_bytes(),
            lambda uri: store.read_bytes(uri, start, stop),
        )

    return read


def options(uri: str) -> dict[str, str]:
    """Storage options for deltalake, which finds the credentials in the environment itself."""
    if store.is_local(uri):
        return {}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    found = {"AWS_ENDPOINT_URL": endpoint} if endpoint else {}
    return found | ({"AWS_ALLOW_HTTP": "true"} if endpoint.startswith("http://") else {})


def _side_by_side(
    quickly: Callable[[S3Store, str], Result],
    otherwise: Callable[[str], Result],
    uris: list[str],
) -> list[Result]:
    if not uris:
        return []
    ask = otherwise
    if is_s3(uris[0]):
        bucket = Bucket(uris[0])

        def ask(uri: str) -> Result:
            return bucket.ask(uri, quickly, otherwise)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(ask, uris))


def _read(client: S3Store, key: str) -> bytes:
    return obstore.get(client, key).bytes().to_bytes()


def _size(client: S3Store, key: str) -> int | None:
    try:
        return obstore.head(client, key)["size"]
    except (NotFoundError, FileNotFoundError):
        return None


def _delete(client: S3Store, key: str) -> None:
    with suppress(NotFoundError, FileNotFoundError):
        obstore.delete(client, key)
