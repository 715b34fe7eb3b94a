"""Where a model lies: a folder, else the hub's cache; never the network in these tests."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from operators import hub
from operators.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SCRIPT = """
from operators import hub
from operators.errors import ModelError
print(hub.locate("some/model", "")[1])
print(hub.locate("some/model", "v2")[1])
try:
    hub.locate("other/model", "")
except ModelError as error:
    print(error)
"""


def test_a_local_folder_has_no_revision(tmp_path):
    assert hub.locate(str(tmp_path), "main") == (tmp_path, "")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/no/such/folder", "no such folder"),
        ("./models/none", "no such folder"),
        ("a name with spaces", "no such folder, and not a name"),
        (__file__, "is a file"),
    ],
)
def test_a_path_that_cannot_be_a_model_gets_one_sentence(path, said):
    with pytest.raises(ModelError, match=said):
        hub.locate(path, "")


def test_a_hub_name_becomes_its_cached_snapshot_and_commit(tmp_path):
    cached = tmp_path / "hub" / "models--some--model"
    (cached / "refs").mkdir(parents=True)
    for name in ("main", "v2"):
        (cached / "refs" / name).write_text(COMMIT)
    (cached / "snapshots" / COMMIT).mkdir(parents=True)
    (cached / "snapshots" / COMMIT / "config.json").write_text("{}")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(hub.__file__).parents[1],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, refused = done.stdout.strip().split("\n")
    assert (first, second) == (COMMIT, COMMIT)
    assert refused.startswith("model other/model: neither a local folder nor to be had from")


GATED = """
import sys
from operators import hub
from operators.errors import ModelError
try:
    print("found", (hub.locate("some/gated", "")[0] / "config.json").read_text())
except ModelError as error:
    print("refused", error)
"""
TOKEN = "hf_" + "s3cr3t" * 6


class Gated(BaseHTTPRequestHandler):
    """A hub with one model of one file, for those who hold the token."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b"gated; you sent " + str(self.headers["Authorization"]).encode())
        elif "/tree/" in self.path:
            files = [{"type": "file", "path": "config.json", "size": 2, "oid": "e"}]
            self.answer(200, json.dumps(files).encode())
        elif self.path.startswith("/api/"):
            files = [{"rfilename": "config.json"}]
            body = {"id": "some/gated", "sha": COMMIT, "siblings": files, "private": True}
            self.answer(200, json.dumps(body).encode())
        else:
            self.answer(200, b"{}")

    def answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        headers = {"X-Repo-Commit": COMMIT, "ETag": '"e"', "Content-Length": str(len(body))}
        if code == 401:
            headers["X-Error-Code"] = "GatedRepo"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@pytest.mark.parametrize(
    ("token", "said"),
    [(TOKEN, "found {}"), ("hf_" + "another" * 5, "refused"), ("", "refused")],
)
def test_a_gated_model_opens_with_the_token_of_the_environment_and_no_other(tmp_path, token, said):
    (tmp_path / "token").write_text(TOKEN)  # what a login leaves on a machine is not used
    with ThreadingHTTPServer(("127.0.0.1", 0), Gated) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [sys.executable, "-c", GATED],
            cwd=Path(hub.__file__).parents[1],
            env={
                **os.environ,
                "HF_HOME": str(tmp_path),
                "HF_TOKEN": token,
                "HF_HUB_OFFLINE": "0",
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        server.shutdown()
    assert done.stdout.startswith(said)
    assert (TOKEN if token == TOKEN else token or TOKEN) not in done.stdout + done.stderr
    assert ("HF_TOKEN" in done.stdout) == (said == "refused")
