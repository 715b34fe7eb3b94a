"""Thousands of small objects at once: their bytes, their sizes, their removal.

On S3 this goes through obstore, which waits without holding the interpreter, where deltalake's file
handles answer one after another (`python -m benchmarks.storage`).
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TypeVar

import obstore
from obstore.exceptions import (
    BaseError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

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
    on_s3: Callable[[S3Store, str], Result],
    elsewhere: Callable[[str], Result],
    uris: list[str],
) -> list[Result]:
    if not uris:
        return []
    with ThreadPoolExecutor(_PARALLEL) as pool:
        if not uris[0].startswith(_SCHEMES):
            return list(pool.map(elsewhere, uris))
        scheme, _, path = uris[0].partition("://")
        bucket = path.partition("/")[0]
        client = _client(f"{scheme}://{bucket}", bucket)

        def ask(uri: str) -> Result:
            with explained(uri), _as_os_errors():
                return on_s3(client, uri.removeprefix(f"{scheme}://{bucket}/"))

        return list(pool.map(ask, uris))


def _client(uri: str, bucket: str) -> S3Store:
    """A client that finds credentials in the environment, or where the machine has them."""
    found = options(uri)
    plain = found.get("AWS_ALLOW_HTTP") == "true"
    with explained(uri), _as_os_errors():
        if "AWS_ENDPOINT_URL" in found:
            endpoint = found["AWS_ENDPOINT_URL"]
            return S3Store(bucket, endpoint=endpoint, client_options={"allow_http": plain})
        return S3Store(bucket)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise what the store answers as the errors that files have."""
    try:
        yield
    except NotFoundError as error:
        raise FileNotFoundError(str(error)) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(str(error)) from error
    except BaseError as error:
        raise OSError(str(error)) from error


def _read(client: S3Store, key: str) -> bytes:
    return bytes(obstore.get(client, key).bytes())


def _size(client: S3Store, key: str) -> int | None:
    try:
        return obstore.head(client, key)["size"]
    except (NotFoundError, FileNotFoundError):
        return None


def _delete(client: S3Store, key: str) -> None:
    with suppress(NotFoundError, FileNotFoundError):
        obstore.delete(client, key)
