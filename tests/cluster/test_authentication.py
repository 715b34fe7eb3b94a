"""Who asks for a token: a cluster that serves everybody is refused, and so is none at all."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest

from cluster.authentication import check_cluster, dashboard_headers, found_token
from operators.errors import PreflightError

VERSION = {"version": "4", "ray_version": "2.60.0"}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A user without a token."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@contextmanager
def serving(token: str, status: int = 200, said: object = VERSION) -> Iterator[str]:
    """What answers as a dashboard that asks for `token`, or for none; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.headers.get("Authorization", "")
            wrong = 403 if sent else 401
            self.send_response(wrong if token and sent != f"Bearer {token}" else status)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_token_is_the_environments_before_the_users_file(home, monkeypatch):
    assert found_token() == ""
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("of the user\n")
    assert found_token() == "of the user"
    (home / "mounted").write_text("of a file\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "mounted"))
    assert found_token() == "of a file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    assert found_token() == "given"


def test_a_dashboard_that_serves_everybody_is_refused_unless_it_is_allowed(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    with serving("") as url:
        with pytest.raises(PreflightError, match=r"asks for no token.*--allow-insecure"):
            dashboard_headers(url, "", allow_insecure=False)
        assert dashboard_headers(url, "", allow_insecure=True) == {}, "the token stays here"


@pytest.mark.parametrize("allowed", [False, True])
def test_a_dashboard_with_a_token_takes_the_right_one_alone(monkeypatch, allowed):
    with serving("right") as url:
        with pytest.raises(PreflightError, match="asks for a token and there is none"):
            dashboard_headers(url, "", allow_insecure=allowed)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
        with pytest.raises(PreflightError, match="does not take the token"):
            dashboard_headers(url, "", allow_insecure=allowed)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
        headers = dashboard_headers(url, "", allow_insecure=allowed)
        assert headers == {"Authorization": "Bearer right"}
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        with pytest.raises(PreflightError, match="RAY_AUTH_MODE=disabled sends none"):
            dashboard_headers(url, "", allow_insecure=allowed)


def test_a_token_file_that_is_named_and_cannot_be_read_is_told(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "none"))
    with serving("right") as url, pytest.raises(PreflightError, match="cannot be read"):
        dashboard_headers(url, "", allow_insecure=False)


@pytest.mark.parametrize(
    ("status", "said", "phrase"),
    [(404, VERSION, "status 404"), (502, VERSION, "status 502"), (200, [], "something else")],
)
def test_what_is_no_dashboard_is_told(status, said, phrase):
    with serving("", status, said) as url, pytest.raises(PreflightError, match=phrase):
        dashboard_headers(url, "", allow_insecure=True)


@contextmanager
def heading(token: str) -> Iterator[str]:
    """What answers drivers as a head that asks for `token`, or for none; its address."""

    class Answer(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
                sent = dict(context.invocation_metadata()).get("authorization", "")
                if token and sent != f"Bearer {token}":
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, "missing or incorrect")
                return b""

            return grpc.unary_unary_rpc_method_handler(answer)

    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=(Answer(),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.fixture
def no_tls(monkeypatch):
    monkeypatch.delenv("RAY_USE_TLS", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # else Ray is told, for the whole process


def test_a_head_that_serves_everybody_is_refused_unless_it_is_allowed(no_tls):
    with heading("") as address:
        with pytest.raises(PreflightError, match=r"asks for no token.*--allow-insecure"):
            check_cluster(address, allow_insecure=False)
        check_cluster(address, allow_insecure=True)


@pytest.mark.parametrize("allowed", [False, True])
def test_a_head_with_a_token_takes_the_right_one_alone(no_tls, monkeypatch, allowed):
    with heading("right") as address:
        with pytest.raises(PreflightError, match="asks for a token and there is none"):
            check_cluster(address, allow_insecure=allowed)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
        with pytest.raises(PreflightError, match="does not take the token"):
            check_cluster(address, allow_insecure=allowed)
        monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
        check_cluster(address, allow_insecure=allowed)


@pytest.mark.parametrize(
    ("address", "phrase"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at 127.0.0.1:1"),
        ("nonsense", "no Ray cluster is there"),
        ("ray://127.0.0.1:10001", "use corpusmill submit"),
    ],
)
def test_a_cluster_that_is_not_there_is_told_in_a_sentence(no_tls, address, phrase):
    with pytest.raises(PreflightError) as caught:
        check_cluster(address, allow_insecure=True)
    assert phrase in str(caught.value)
