"""Many small requests to one S3 bucket, through obstore: a thread that waits holds no interpreter.

s3fs takes 3 ms of processor time a request and 0.2 ms an object listed, obstore a tenth of both
(`python -m benchmarks.storage`). Where it fails, s3fs is asked again: its repetitions count, its
words are what a user reads, and it knows keys and certificates that obstore does not.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import local
from typing import Any, TypeVar

import obstore
from fsspec.asyn import sync
from obstore.exceptions import BaseError
from obstore.store import S3Store

from operators.storage.filesystems import filesystem
from operators.storage.refusals import explained

_STRIKES = 3
"""Answers that s3fs had to give before it is asked at once."""
_RETRIES: Any = {"max_retries": 2, "retry_timeout": timedelta(seconds=10)}
_FRESH = timedelta(minutes=10)
"""How long botocore's credentials hold at least when they are handed over."""
_here = local()

Result = TypeVar("Result")


class Bucket:
    """The bucket of a URI, for the threads that share it."""

    def __init__(self, uri: str) -> None:
        fs, path = filesystem(uri)
        self._prefix = uri[: uri.index("://") + 3] + path.partition("/")[0] + "/"
        self._strikes = 0
        with explained(uri):
            self._client = _kept_client(fs, path.partition("/")[0])

    def ask(
        self,
        uri: str,
        quickly: Callable[[S3Store, str], Result],
        otherwise: Callable[[str], Result],
    ) -> Result:
        """What obstore says of an object, or what s3fs says where obstore cannot tell."""
        key = uri.removeprefix(self._prefix)
        if self._strikes >= _STRIKES or key == uri or not _is_plain(key):
            return otherwise(uri)
        try:
            return quickly(self._client, key)
        except (BaseError, OSError, ValueError):
            found = otherwise(uri)
        self._strikes += 1
        return found

    def listed(self, folder: str, *, deep: bool) -> dict[str, dict[str, Any]] | None:
        """The objects in (or below) a folder as s3fs tells of them, None where obstore cannot tell.

        An empty object may be the mark of a folder, whose name obstore cuts.
        """
        key = f"{folder.rstrip('/')}/".removeprefix(self._prefix)
        if not _is_plain(key + "x"):
            return None
        try:
            found = _below(self._client, key) if deep else _in(self._client, key)
        except (BaseError, OSError, ValueError):
            return None
        bucket = self._prefix.partition("://")[2]
        told = {bucket + each["path"]: _as_s3fs(each) for each in found}
        return told if all(info["size"] for info in told.values()) else None


def _is_plain(key: str) -> bool:
    """Whether obstore asks for this very key: it takes no empty segments."""
    return all(part not in {"", ".", ".."} for part in key.split("/"))


def _in(client: S3Store, prefix: str) -> list[Any]:
    return list(obstore.list_with_delimiter(client, prefix)["objects"])


def _below(client: S3Store, prefix: str) -> list[Any]:
    return [each for batch in obstore.list(client, prefix, chunk_size=1000) for each in batch]


def _as_s3fs(found: Any) -> dict[str, Any]:
    return {
        "type": "file",
        "size": found["size"],
        "ETag": found["e_tag"],
        "LastModified": found["last_modified"],
    }


def _kept_client(fs: Any, bucket: str) -> S3Store:
    """This thread's client of a bucket, as long as fsspec keeps the file system: 40 ms to make."""
    kept: dict[str, tuple[Any, S3Store]] = _here.__dict__
    if bucket not in kept or kept[bucket][0] is not fs:
        kept[bucket] = (fs, _client(fs, bucket))
    return kept[bucket][1]


def _client(fs: Any, bucket: str) -> S3Store:
    """A client with the endpoint, the region and the credentials that s3fs found."""
    meta, found = fs.s3.meta, fs.s3._request_signer._credentials
    plain = meta.endpoint_url.startswith("http://")
    return S3Store(
        bucket,
        endpoint=meta.endpoint_url,
        region=meta.region_name,
        skip_signature=found is None,
        client_options={"allow_http": plain},
        retry_config=_RETRIES,
        credential_provider=None if found is None else lambda: _credentials(fs, found),
    )


def _credentials(fs: Any, found: Any) -> Any:
    """The keys that botocore has now, refreshed by it where they expire."""
    now = sync(fs.loop, found.get_frozen_credentials)
    return {
        "access_key_id": now.access_key,
        "secret_access_key": now.secret_key,
        "token": now.token,
        "expires_at": datetime.now(UTC) + _FRESH,
    }
