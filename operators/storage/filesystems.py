"""Which file system a URI means; credentials come from the environment."""

from typing import Any

import fsspec

from operators.errors import ConfigError
from operators.redaction import secret_look_of, without_secrets

_S3 = frozenset({"s3", "s3a"})


def filesystem(uri: str) -> tuple[Any, str]:
    """The fsspec file system of `uri` and the path in it; credentials come from the environment.

    ConfigError for a URI that holds a secret, or whose store is unknown or not installed.
    """
    if said := secret_look_of(uri):
        problem = f"{without_secrets(uri)}: {said}; credentials come from the environment"
        raise ConfigError((problem,))
    protocol = fsspec.utils.get_protocol(uri)
    options: dict[str, Any] = {"use_listings_cache": False} if protocol in _S3 else {}
    try:
        fs = fsspec.filesystem(protocol, **options)
    except (ImportError, ValueError) as error:
        raise ConfigError((f"{uri}: {error}",)) from error
    return fs, fs._strip_protocol(uri)


def is_local(uri: str) -> bool:
    """Whether `uri` names this machine's file system."""
    return fsspec.utils.get_protocol(uri) in {"file", "local"}


def is_s3(uri: str) -> bool:
    """Whether `uri` names an object that s3fs finds."""
    return fsspec.utils.get_protocol(uri) in _S3
