"""Where a model's files lie on this machine: a local folder, else a hub repository's snapshot."""

import os
import re
from functools import lru_cache
from pathlib import Path

from operators.errors import ModelError
from operators.redaction import without_secrets

_WANTED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
_NEVER = ["*.bin", "*.pkl", "*.pt", "*.py", "onnx/*", "openvino/*"]
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def locate(path: str, revision: str) -> tuple[Path, str]:
    """The folder of the model's files, and its commit where a hub keeps it ("" for a local one)."""
    local = Path(path).expanduser()
    if local.is_dir():
        return local, ""
    if local.exists():
        raise ModelError(path, "is a file; name the folder that holds config.json")
    if path.startswith(("/", ".", "~")) or not _HUB_NAME.fullmatch(path):
        raise ModelError(path, "no such folder, and not a name that a model hub could know")
    return _snapshot(path, revision)


@lru_cache(maxsize=64)
def _snapshot(name: str, revision: str) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download  # slow to import, and most models are local

    try:
        found = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=_WANTED,
            ignore_patterns=_NEVER,
            token=os.environ.get("HF_TOKEN") or False,  # not what a login left on this machine
        )
    except Exception as error:  # the hub client's errors share no base class
        cause = without_secrets(" ".join(str(error).split("\n")[0].split()))
        wanted = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            name,
            f"neither a local folder nor to be had from the model hub{wanted} "
            f"({type(error).__name__}: {cause}); give the path of a folder, or check name, "
            "network, HF_TOKEN and HF_HUB_OFFLINE",
        ) from error
    folder = Path(found)
    return folder, folder.name if _COMMIT.fullmatch(folder.name) else revision
