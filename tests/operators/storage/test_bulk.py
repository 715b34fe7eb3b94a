import pytest

from operators.errors import SourceError
from operators.storage import uri
from operators.storage.bulk import delete, options, read_many, sizes_of


def test_many_objects_are_read_in_the_order_asked(store: str) -> None:
    places = [uri.join(store, f"f/{n}") for n in range(40)]
    for n, place in enumerate(places):
        uri.write_bytes(place, b"x" * n)
    assert read_many(places[::-1]) == [b"x" * n for n in range(39, -1, -1)]
    assert sizes_of([*places, uri.join(store, "none"), uri.join(store, "f")][-3:-1]) == [39, None]
    delete([*places[1:], uri.join(store, "none")])
    assert uri.names_in(uri.join(store, "f")) == ["0"]
    assert (read_many([]), sizes_of([]), delete([])) == ([], [], None)


def test_an_object_that_is_missing_is_named_in_one_line(store: str) -> None:
    missing = uri.join(store, "none")
    with pytest.raises(SourceError, match="none: not found") as caught:
        read_many([missing])
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_plain_http_is_allowed_only_where_the_endpoint_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://store")
    assert options("s3://b/t") == {"AWS_ENDPOINT_URL": "https://store"}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store")
    assert options("s3://b/t") == {"AWS_ENDPOINT_URL": "http://store", "AWS_ALLOW_HTTP": "true"}
    assert options("/a/folder") == {}
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert options("s3://b/t") == {}
