import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import s3fs

from operators.errors import PreflightError
from operators.storage import uri
from operators.storage.race import RACERS, refuse_careless_store


class Careless(BaseHTTPRequestHandler):
    """As much of S3 as a create and a delete need; it pays no attention to conditions."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        self.server.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200)

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)
        self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("ETag", '"0"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def careless_store() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        server.objects = {}
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def other_environment(s3, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Lets a test change the environment of the S3 client, which is otherwise made once."""
    s3fs.S3FileSystem.clear_instance_cache()
    yield monkeypatch
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_store_that_lets_one_writer_win_is_accepted_and_left_clean(store: str) -> None:
    refuse_careless_store(store)
    assert uri.list_ages(store, deep=True) == []


def test_a_store_that_ignores_conditions_is_refused_with_the_way_out(other_environment) -> None:
    with careless_store() as server:
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        other_environment.setenv("AWS_ENDPOINT_URL", endpoint)
        with pytest.raises(PreflightError) as caught:
            refuse_careless_store("s3://lake/table")
        assert server.objects == {}
    assert f"let {RACERS} of {RACERS} writers create the same object" in str(caught.value)
    assert "write.allow_careless_store: true" in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_missing_bucket_is_one_sentence(s3) -> None:
    with pytest.raises(PreflightError, match="cannot write to s3://no-such-bucket/t: not found"):
        refuse_careless_store("s3://no-such-bucket/t")


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_one_sentence_without_them(s3, other_environment, name) -> None:
    other_environment.setenv(name, "quite-wrong-and-private")
    with pytest.raises(PreflightError, match="access denied") as caught:
        refuse_careless_store(s3())
    told = str(caught.value)
    assert "check the credentials" in told
    if name == "AWS_SECRET_ACCESS_KEY":
        assert "quite-wrong-and-private" not in told
