from datetime import UTC, datetime
from pathlib import Path

import obstore
import pytest
import s3fs

from operators.errors import SourceError
from operators.storage import uri
from operators.storage.bulk import range_reader, read_many
from operators.storage.objects import Bucket
from tests.conftest import ACCESS

pytestmark = pytest.mark.s3
ODD = ["a b", "a#b", "a%20b", "ü", "a?b", "[x]", "~t", "a+b=c&d", "{x}", 'a"b', "a*b", "x//y"]


def never(uri: str) -> bytes:
    raise AssertionError(f"s3fs was asked for {uri}")


def read(client: obstore.store.S3Store, key: str) -> bytes:
    return obstore.get(client, key).bytes().to_bytes()


@pytest.fixture
def fresh_clients():
    """Clients that look for their credentials anew, before the test and after it."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def put(base: str, *keys: str) -> None:
    fs, path = uri.filesystem(base)
    bucket, key, _ = fs.split_path(path)
    for each in keys:
        fs.call_s3("put_object", Bucket=bucket, Key=f"{key}/{each}", Body=each.encode())


@pytest.mark.parametrize("name", ODD)
def test_on_s3_an_object_of_any_name_is_read_in_whole_and_in_part(s3, name):
    base = s3()
    put(base, name)
    place = f"{base}/{name}"
    assert read_many([place]) == [name.encode()]
    assert range_reader(place)(place, 1, 3) == name.encode()[1:3]


def test_on_s3_the_fast_listing_tells_what_the_file_system_tells(s3):
    base = s3()
    put(base, *ODD[:-1], "f/g/h")
    fs, path = uri.filesystem(base)
    for deep, depth in ((True, None), (False, 1)):
        told = Bucket(base).listed(base, deep=deep)
        expected = fs.find(path, maxdepth=depth, detail=True)
        assert told is not None
        assert sorted(told) == sorted(expected)
        for name, info in told.items():
            assert {
                key: expected[name][key] for key in ("size", "ETag", "type")
            }.items() <= info.items()
            gap = info["LastModified"] - expected[name]["LastModified"]
            assert abs(gap.total_seconds()) < 2


def test_on_s3_a_folder_with_an_empty_object_is_left_to_the_file_system(s3):
    base = s3()
    put(base, "a/x")
    uri.write_bytes(base + "/b", b"")
    assert Bucket(base).listed(base, deep=True) is None
    assert [file.uri for file in uri.list_files(base)] == [base + "/a/x", base + "/b"]


def test_on_s3_a_glob_lists_what_the_file_system_matches(s3):
    base = s3()
    put(base, "a1.x", "a2.x", "b1.x", "f/a1.x")
    for glob in ("a*.x", "?1.x", "[ab]1.x", "*", "**", "f/*", "*/a1.x", "none*"):
        fs, path = uri.filesystem(f"{base}/{glob}")
        expected = sorted(
            name for name, info in fs.glob(path, detail=True).items() if info["type"] == "file"
        )
        try:
            found = [file.uri.removeprefix("s3://") for file in uri.list_files(f"{base}/{glob}")]
        except SourceError:
            found = []
        assert found == expected, glob


def test_on_s3_credentials_and_endpoint_of_a_profile_are_found(
    s3, tmp_path: Path, monkeypatch, fresh_clients
):
    base = s3()
    put(base, "x")
    place, endpoint = base + "/x", uri.filesystem(base)[0].s3.meta.endpoint_url
    (tmp_path / "config").write_text(
        f"[profile here]\nregion = us-east-1\nendpoint_url = {endpoint}\n"
        f"aws_access_key_id = {ACCESS['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {ACCESS['AWS_SECRET_ACCESS_KEY']}\n"
    )
    for name in (*ACCESS, "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "here")
    s3fs.S3FileSystem.clear_instance_cache()
    assert Bucket(base).ask(place, read, never) == b"x"


def test_on_s3_a_wrong_secret_is_told_in_the_words_of_the_store_and_never_shown(
    s3, monkeypatch, fresh_clients
):
    base = s3()
    put(base, "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-never-shown")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(SourceError, match="access denied") as caught:
        read_many([base + "/x"])
    with pytest.raises(SourceError) as alone:
        uri.read_bytes(base + "/x")
    assert str(caught.value) == str(alone.value)
    assert "wrong-and-never-shown" not in repr(Bucket(base).__dict__)


def test_what_obstore_fails_at_three_times_is_asked_of_the_file_system_at_once(s3):
    base = s3()
    bucket, asked = Bucket(base), []

    def fails(client: obstore.store.S3Store, key: str) -> str:
        asked.append(key)
        raise OSError("no such certificate")

    found = [bucket.ask(f"{base}/{n}", fails, lambda uri: uri) for n in range(5)]
    assert found == [f"{base}/{n}" for n in range(5)]
    assert len(asked) == 3


def test_credentials_hold_for_minutes_and_are_asked_for_again(s3):
    from operators.storage.objects import _credentials

    fs, _ = uri.filesystem(s3())
    told = _credentials(fs, fs.s3._request_signer._credentials)
    assert told["access_key_id"] == ACCESS["AWS_ACCESS_KEY_ID"]
    assert told["expires_at"] > datetime.now(UTC)
