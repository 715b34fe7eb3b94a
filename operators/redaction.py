"""Secrets out of whatever is told: the one place that knows what a secret looks like."""

import os
import re
from collections.abc import Mapping

_NAMED = re.compile(
    r"(?i)(^|_)(secret|secrets|token|password|passwd|passphrase|credential|credentials|private_key"
    r"|access_key|account_key|api_key|apikey|sas)($|_)"
)
"""Names of environment variables and of fields that hold secrets."""
_NO_SECRET = re.compile(
    r"(?i)(_FILE|_PATH|_URI|_URL|_ID|_DIR|_MODE|_BUDGET|_PROVIDER|_NAME|_REF|_ARN|_HOST|_PORT"
    r"|_TYPE|_TTL|_VERSION|_ENABLED|APPLICATION_CREDENTIALS)$"
)
"""Endings of names that only say where a secret is, or whose it is."""
_SHORTEST = 8
"""Characters of a secret worth hiding; blanking out shorter ones would garble any sentence."""
_SURE = 16
"""Characters from which on a text that has one cannot have it by chance, and is refused."""
HIDDEN = "***"

_SHAPES = (
    (re.compile(r"(\w+://)[^/@\s'\"]*:(?!\d+/)[^@\s'\"]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END|$)", re.DOTALL), HIDDEN),
)
"""A user name and a password before a host (a port is no password), keys by their prefix."""
_SAID = (
    "a URI holds a password",
    "it holds a model hub's token",
    "it holds an access key",
    "it holds a private key",
)
_SIGNED = re.compile(
    r"(?i)([?&](?:X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|AWSAccessKeyId|Signature"
    r"|sig)=)[^&\s'\"]+"
)
_BEARER = re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:\w+ )?|\bbearer )[^\s'\",]{8,}")
_ASSIGNED = re.compile(
    r"(?i)(?<![\w.-])((?:[\w.-]+[_.-])?(?:secret|password|passwd|token|credentials?|"
    r"(?:api|access|account|secret|private)_?key)(?:=|['\"]\s*:\s*)['\"]?)[^\s'\",{}\[\]]+"
)
"""A field whose name says that its value is a secret."""


def without_secrets(text: str) -> str:
    """The text with every secret blanked out: the environment's, and what looks like one."""
    for secret in secrets_of(os.environ):
        text = text.replace(secret, HIDDEN)
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    for shape in (_SIGNED, _BEARER, _ASSIGNED):
        text = shape.sub(rf"\1{HIDDEN}", text)
    return text


def secret_in(text: str) -> str:
    """What secret a text holds, as a clause such as "a URI holds a password"; empty for none."""
    if said := secret_look_of(text):
        return said
    held = any(secret in text for secret in secrets_of(os.environ) if len(secret) >= _SURE)
    return "it holds a secret of the environment" if held else ""


def secret_look_of(text: str) -> str:
    """The same, by its looks alone: 15 µs a URI, where the environment takes ten times that."""
    for (shape, _), said in zip(_SHAPES, _SAID, strict=True):
        if shape.search(text):
            return said
    return "it holds a signed URL" if _SIGNED.search(text) else ""


def names_secret(name: str) -> bool:
    """Whether a variable or field of that name holds a secret."""
    return bool(_NAMED.search(name.replace("-", "_"))) and not _NO_SECRET.search(name)


def secrets_of(environment: Mapping[str, str]) -> list[str]:
    """The secrets that the variables hold, the longest first, since one may begin another."""
    found = {
        value
        for name, value in environment.items()
        if names_secret(name) and len(value) >= _SHORTEST
    }
    return sorted(found, key=len, reverse=True)
