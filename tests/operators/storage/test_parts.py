import os

import pytest

from operators.errors import SourceError
from operators.storage import parts, uri
from operators.storage.parts import PART_BYTES
from operators.storage.stream import open_output

pytestmark = pytest.mark.s3
SIZES = (0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 6 * PART_BYTES + 7)


def uploads(place: str) -> list[str]:
    """Keys of uploads that were begun and neither finished nor aborted."""
    fs, path = uri.filesystem(place)
    bucket, key, _ = fs.split_path(path)
    found = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
    return [upload["Key"] for upload in found.get("Uploads", [])]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1 << 20, 20 << 20])
def test_on_s3_an_object_of_any_size_holds_what_was_written_in_any_steps(s3, size, step):
    place, data = s3() + "/x", os.urandom(size)
    with open_output(place) as stream:
        for start in range(0, size, step):
            assert stream.write(memoryview(data)[start : start + step]) == len(
                data[start : start + step]
            )
    assert uri.read_bytes(place) == data if size else uri.size_of(place) == 0
    assert uploads(place) == []


def test_on_s3_parts_travel_while_the_writer_goes_on_and_nothing_of_them_is_left(s3):
    place = s3() + "/x"
    with pytest.raises(RuntimeError), open_output(place) as stream:
        stream.write(memoryview(bytes(3 * PART_BYTES)))
        assert len(uploads(place)) == 1
        raise RuntimeError("half way")
    assert uploads(place) == []
    assert uri.size_of(place) is None


def test_on_s3_a_part_that_is_refused_stops_the_writer_with_the_store_s_words(s3):
    place = s3() + "/x"
    fs, path = uri.filesystem(place)
    with pytest.raises(SourceError, match="x: not found") as caught, open_output(place) as stream:
        stream.write(memoryview(bytes(PART_BYTES)))
        abort_all(fs, *fs.split_path(path)[:2])
        for _ in range(parts._IN_FLIGHT + 2):
            stream.write(memoryview(bytes(PART_BYTES)))
    assert "\n" not in str(caught.value)
    assert uri.size_of(place) is None


def test_a_bucket_that_is_not_there_is_one_sentence_for_small_and_large(s3):
    s3()
    for size in (1, PART_BYTES):
        with pytest.raises(SourceError, match="not found"), open_output("s3://none-such/x") as out:
            out.write(memoryview(bytes(size)))


def abort_all(fs, bucket: str, key: str) -> None:
    """Take the upload away from under its writer, as a lifecycle rule of the bucket does."""
    found = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
    for upload in found["Uploads"]:
        fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload["UploadId"])
