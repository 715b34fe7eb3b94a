"""Large objects to S3 in parts: full parts travel while the next one is filled."""

import asyncio
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from operators.storage.refusals import explained

PART_BYTES = 8 << 20
"""S3 takes 10,000 parts an object: 78 GiB. All parts but the last are of this size."""
_IN_FLIGHT = 4
"""Parts under way at once; a writer that is faster waits."""


class Parts:
    """An object on S3 that is there once `close` returns; what fits one part is one request.

    Requests are those of s3fs, so are credentials, repetitions and errors: SourceError.
    """

    def __init__(self, fs: Any, uri: str) -> None:
        bucket, key, _ = fs.split_path(uri)
        self._fs, self._uri, self._key = fs, uri, {"Bucket": bucket, "Key": key}
        self._part = bytearray()
        self._upload: dict[str, Any] = {}
        self._begun: list[Future[Any]] = []
        self._flying: set[Future[Any]] = set()

    def write(self, data: memoryview | bytes) -> int:
        """Take bytes, and send every part that they fill; raises what an earlier part met."""
        view = memoryview(data)
        for start, stop in self._cuts(len(view)):
            self._part += view[start:stop]
            if len(self._part) == PART_BYTES:
                self._send()
        return len(view)

    def close(self) -> None:
        """Make the object appear, whole."""
        with explained(self._uri):
            if not self._upload:
                self._fs.call_s3("put_object", **self._key, Body=bytes(self._part))
                return
        if self._part:
            self._send()
        with explained(self._uri):
            tags = [each.result()["ETag"] for each in self._begun]
            parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
            self._fs.call_s3(
                "complete_multipart_upload", **self._upload, MultipartUpload={"Parts": parts}
            )

    def discard(self) -> None:
        """Leave nothing on the store.

        Parts under way end first: one that landed after the abort would be kept, and paid for.
        """
        wait(self._flying)
        if self._upload:
            self._fs.call_s3("abort_multipart_upload", **self._upload)

    def _cuts(self, size: int) -> list[tuple[int, int]]:
        """Ranges of `size` bytes that end where a part is full."""
        first = min(PART_BYTES - len(self._part), size)
        starts = [0, *range(first, size, PART_BYTES)]
        return list(zip(starts, [*starts[1:], size], strict=True))

    def _send(self) -> None:
        with explained(self._uri):
            if not self._upload:
                begun = self._fs.call_s3("create_multipart_upload", **self._key)
                self._upload = {**self._key, "UploadId": begun["UploadId"]}
            self._wait_for_room()
            number = len(self._begun) + 1
            request = self._fs._call_s3(  # of bytes: a stream would be empty when it is repeated
                "upload_part", **self._upload, PartNumber=number, Body=bytes(self._part)
            )
            sent = asyncio.run_coroutine_threadsafe(request, self._fs.loop)
        self._begun.append(sent)
        self._flying.add(sent)
        self._part = bytearray()

    def _wait_for_room(self) -> None:
        """Return when a further part may go; raises what one of those that ended met."""
        while len(self._flying) >= _IN_FLIGHT:
            ended, self._flying = wait(self._flying, return_when=FIRST_COMPLETED)
            for each in ended:
                each.result()
