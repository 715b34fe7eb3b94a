"""How Ray is set up: who may read its token, how many threads a worker takes."""

import os
import stat

from cluster import settings
from operators.base import Resources


def test_the_token_of_a_local_cluster_is_readable_by_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    before = os.umask(0)
    try:
        settings.make_token()
    finally:
        os.umask(before)
    token = tmp_path / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) == 64


def test_a_token_that_others_could_read_is_closed_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("mine")
    token.chmod(0o644)
    settings.make_token()
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert token.read_text() == "mine"


def test_a_token_given_by_the_environment_is_not_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    settings.make_token()
    assert not (tmp_path / ".ray").exists()


def test_workers_share_the_cores_of_a_node(monkeypatch):
    monkeypatch.setattr(settings, "cores", lambda: 8)
    assert settings.threads(Resources()) == 8
    assert settings.threads(Resources(workers=4)) == 2
    assert settings.threads(Resources(workers=64)) == 1
    assert settings.threads(Resources(workers=64, cpus=4)) == 4
    assert settings.threads(Resources(workers=4, threads=3)) == 3
