"""Where the weights lie that a strategy was trained to have."""

from typing import Annotated

from pydantic import AfterValidator

from operators.storage.uri import absolute


def _located(uri: str) -> str:
    return absolute(uri) if uri else uri


Trained = Annotated[str, AfterValidator(_located)]
"""URI of a safetensors file named by the digest of its content; empty for none."""
