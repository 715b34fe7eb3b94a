"""Who may use a cluster: one that serves everybody is refused, before anything runs on it."""

import json
import os
import ssl
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from operators.errors import PreflightError

_PATIENCE = 15.0
"""Seconds until nobody is there. Ray itself waits two minutes, and 20 s with a wrong token."""
_QUESTION = "/ray.rpc.NodeInfoGcsService/GetClusterId"
"""What every driver asks of a cluster first."""
_LEAVE = "let it ask for one (RAY_AUTH_MODE=token), or use it all the same with --allow-insecure"


def found_token() -> str:
    """The token that Ray would send: of the environment, else the user's file; empty for none."""
    if given := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return given
    named = os.environ.get("RAY_AUTH_TOKEN_PATH", "")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        if named:
            raise PreflightError(f"RAY_AUTH_TOKEN_PATH: {path} cannot be read: {error}") from error
        return ""


def check_cluster(address: str, *, allow_insecure: bool) -> None:
    """Make Ray ready to connect to `address`, which is `auto` or the host:port of a head.

    PreflightError when no Ray answers there, it does not take our token, or it takes any.
    """
    if address.startswith("ray://"):
        raise PreflightError(
            f"--address {address}: Ray's client is not for whole runs; use corpusmill submit with "
            "the URL of the dashboard, or run on a node of the cluster with --address auto"
        )
    head = _head_of(address)
    if _served(head, ""):
        if not allow_insecure:
            raise PreflightError(
                f"the Ray cluster at {head} asks for no token: whoever reaches it can run code "
                f"there; {_LEAVE}"
            )
        return
    if not _served(head, _needed(head)):
        raise PreflightError(_wrong(head))
    _send_token()


def dashboard_headers(url: str, authority: str, *, allow_insecure: bool) -> dict[str, str]:
    """The headers with which the dashboard at `url` takes requests; PreflightError as above.

    `authority` is a file of certificates to check an https URL with; empty: the system's.
    """
    if _answers(url, {}, authority):
        if not allow_insecure:
            raise PreflightError(
                f"the Ray cluster at {url} asks for no token: whoever reaches it can run code "
                f"there; {_LEAVE}"
            )
        return {}
    headers = {"Authorization": f"Bearer {_needed(url)}"}
    if not _answers(url, headers, authority):
        raise PreflightError(_wrong(url))
    return headers


def _needed(where: str) -> str:
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        raise PreflightError(f"{where} asks for a token, and RAY_AUTH_MODE=disabled sends none")
    if token := found_token():
        return token
    raise PreflightError(
        f"{where} asks for a token and there is none; set RAY_AUTH_TOKEN_PATH to the file that "
        "holds the cluster's"
    )


def _wrong(where: str) -> str:
    return (
        f"{where} does not take the token that RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or "
        "~/.ray/auth_token holds; give it the cluster's"
    )


def _head_of(address: str) -> str:
    """Host and port of a cluster's head; `auto` is RAY_ADDRESS or the Ray of this machine."""
    from ray._private.services import canonicalize_bootstrap_address_or_die

    try:
        found = canonicalize_bootstrap_address_or_die(address)
        return found if address == "auto" else address
    except (ConnectionError, ValueError, OSError) as error:
        raise PreflightError(f"--address {address}: no Ray cluster is there: {error}") from error


def _served(head: str, token: str) -> bool:
    """Whether the head answers who sends this token, or none; PreflightError if nobody is there.

    A bare request: Ray's own would send whatever token it finds, and ask for two minutes.
    """
    import grpc

    sent = (("authorization", f"Bearer {token}"),) if token else ()
    with _channel(head) as channel:
        try:
            channel.unary_unary(_QUESTION)(b"", timeout=_PATIENCE, metadata=sent)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return False
            raise PreflightError(
                f"no Ray cluster answers at {head}: {error.details()}; --address is `auto` on a "
                "node of the cluster, or host:port of its head (RAY_USE_TLS=1 where it has TLS)"
            ) from error
    return True


def _channel(head: str) -> Any:
    """A connection of the kind that RAY_USE_TLS asks for."""
    import grpc

    options = (("grpc.enable_http_proxy", 0),)
    if os.environ.get("RAY_USE_TLS", "0").lower() not in {"1", "true"}:
        return grpc.insecure_channel(head, options=options)
    names = ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
    try:
        parts = [Path(os.environ[name]).read_bytes() for name in names]
    except (KeyError, OSError) as error:
        raise PreflightError(
            f"RAY_USE_TLS=1 needs the files {', '.join(names)}: {error} cannot be read"
        ) from error
    return grpc.secure_channel(head, grpc.ssl_channel_credentials(*parts), options=options)


def _send_token() -> None:
    """Have Ray send the token, as it does by itself only to a cluster of this machine."""
    if "RAY_AUTH_MODE" in os.environ:
        return
    from ray._raylet import Config  # type: ignore[attr-defined]  # compiled

    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")


def _answers(url: str, headers: dict[str, str], authority: str) -> bool:
    """Whether the dashboard serves these headers; PreflightError if no dashboard is there."""
    request = urllib.request.Request(f"{url}/api/version", headers=headers)
    try:
        context = ssl.create_default_context(cafile=authority or None)
        with urllib.request.urlopen(request, timeout=_PATIENCE, context=context) as reply:
            said = json.loads(reply.read(1 << 16))
    except urllib.error.HTTPError as error:
        if error.code in {401, 403}:
            return False
        raise _no_dashboard(url, f"status {error.code}") from error
    except (HTTPException, ValueError) as error:
        raise _no_dashboard(url, "something else") from error
    except OSError as error:
        raise _no_dashboard(url, str(getattr(error, "reason", error))) from error
    if not isinstance(said, dict) or "ray_version" not in said:
        raise _no_dashboard(url, "something else")
    return True


def _no_dashboard(url: str, found: str) -> PreflightError:
    return PreflightError(
        f"no Ray dashboard answers at {url}: {found}; --address is its URL, such as "
        "http://ray-head:8265"
    )
