"""What travels to a cluster with a job: a folder without its secrets, and a runtime environment."""

import fnmatch
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from operators.errors import ConfigError
from operators.redaction import names_secret, secret_in
from pipelines.raw import parsed

_BULK = (
    *(".venv", "venv", ".git", ".hg", ".svn", "node_modules", "out", "dist", "build"),
    *(
        "__pycache__",
        "*.pyc",
        "*.egg-info",
        ".*_cache",
        ".cache",
        ".hypothesis",
        ".ipynb_checkpoints",
    ),
)
_SECRETS = (
    *(
        ".env",
        ".env.*",
        "*.env",
        "*.pem",
        "*.key",
        "*.p12",
        "*.pfx",
        "*.jks",
        "*.keystore",
        "*.kdbx",
    ),
    *(
        "id_rsa*",
        "id_dsa*",
        "id_ecdsa*",
        "id_ed25519*",
        ".ssh",
        ".gnupg",
        ".aws",
        ".azure",
        ".kube",
    ),
    *(".docker", "kubeconfig*", ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd"),
    *("credentials", "credentials.*", "*credentials*.json", ".git-credentials", "auth_token"),
    *("secrets", "secrets.*", "*.secret", "*.secrets", "*service-account*.json", "*.tfvars"),
)
NEVER = (*_BULK, *_SECRETS)
"""Names of files and folders, at any depth and in any case, that no job takes along."""
_LARGEST = 3
STOP_SECONDS = "60"
"""How long a job that is stopped may take to end; Ray would kill it after three seconds."""


@dataclass(frozen=True)
class Package:
    """A folder whose files a job finds around it."""

    root: Path
    config: str
    """Path of the job's config in it."""

    def excludes(self) -> list[str]:
        """Ray's patterns of what stays here; it leaves out what .gitignore names by itself."""
        return [*NEVER, *(f"/{_literal(path)}" for path, _ in self._walk(kept=False))]

    def largest(self) -> list[str]:
        """The largest files that travel, with their bytes."""
        found = sorted(self._walk(kept=True), key=lambda item: -item[1])[:_LARGEST]
        return [f"{path} ({size:,} bytes)" for path, size in found]

    def _walk(self, *, kept: bool) -> Iterator[tuple[str, int]]:
        """Paths and sizes of the files that travel, or what is left out, folders whole."""
        for folder, folders, files in os.walk(self.root):
            here = Path(folder)
            out = [name for name in folders if self._left_out(here / name)]
            folders[:] = [name for name in folders if name not in out]
            for name in [*files, *out]:
                path = here / name
                if kept != (name in out or self._left_out(path)):
                    yield path.relative_to(self.root).as_posix(), _size(path) if kept else 0

    def _left_out(self, path: Path) -> bool:
        """Whether its name is one of `NEVER`, or it is a link to something outside."""
        return never_travels(path.name) or (
            path.is_symlink() and not path.resolve().is_relative_to(self.root.resolve())
        )


def never_travels(name: str) -> bool:
    """Whether a file or folder of that name stays here."""
    return any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in NEVER)


def packaged(config: str, working_dir: str) -> Package:
    """The folder that travels with a config, its own unless another that holds it is named."""
    path = Path(os.path.abspath(config))  # noqa: PTH100 - links in it stay, as a volume has them
    root = Path(os.path.abspath(working_dir)) if working_dir else path.parent  # noqa: PTH100
    if not root.is_dir():
        raise ConfigError((f"--working-dir {root}: there is no such folder",))
    if not (path.is_relative_to(root) and path.resolve().is_relative_to(root.resolve())):
        problem = f"{config} is not in it; the config travels within it"
        raise ConfigError((f"--working-dir {root}: {problem}",))
    inside = path.relative_to(root)
    if barred := [part for part in inside.parts if never_travels(part)]:
        problem = f"{barred[0]!r} is a name that never travels to a cluster; rename or move it"
        raise ConfigError((f"{config}: {problem}",))
    return Package(root, inside.as_posix())


def runtime_environment(file: str) -> dict[str, Any]:
    """What a file of Ray's runtime environment says; ConfigError with every mistake.

    A variable that holds a secret is one: whoever opens the dashboard can read it.
    """
    if not file:
        return {}
    try:
        text = Path(file).read_text(encoding="utf-8")
        raw = parsed(text)
    except (OSError, ValueError) as error:
        raise ConfigError((f"--runtime-env {file}: cannot be read: {error}",)) from error
    mistakes = list(_mistakes(raw)) if isinstance(raw, dict) else ["expected a mapping of keys"]
    if not mistakes:
        mistakes = list(_refused(raw))
    if mistakes:
        raise ConfigError(tuple(f"--runtime-env {file}: {mistake}" for mistake in mistakes))
    return dict(raw)


def _mistakes(raw: dict[str, Any]) -> Iterator[str]:
    if "working_dir" in raw:
        yield "no field 'working_dir'; --working-dir names it"
    for key in sorted({"image_uri", "container"} & set(raw)):
        yield (
            f"{key}: Ray takes no working directory beside it, and the config travels in one; "
            "give the image to the cluster's nodes"
        )
    variables = raw.get("env_vars") or {}
    if not isinstance(variables, dict):
        yield "env_vars: expected names and values"
        return
    for name, value in variables.items():
        if names_secret(str(name)):
            yield (
                f"env_vars: {name} is a secret, and whoever opens the dashboard could read it; "
                "give it to the cluster's pods instead (envFrom a Kubernetes secret)"
            )
        elif not isinstance(value, str):
            yield f"env_vars: {name}: expected text, found {value!r}; put it in quotes"


def _refused(raw: dict[str, Any]) -> Iterator[str]:
    """What Ray has against it, and the secrets in what it makes of it."""
    from ray.runtime_env import RuntimeEnv

    try:
        meant = RuntimeEnv(**raw).to_dict()
    except (TypeError, ValueError, OSError) as error:
        yield " ".join(str(error).split())
        return
    unknown = sorted(set(raw) - RuntimeEnv.known_fields)
    yield from (f"no field {name!r}" for name in unknown)
    if held := secret_in(json.dumps(meant, default=str)):
        yield f"{held}; credentials are the cluster's, by its pods' environment or role"


def _literal(path: str) -> str:
    """A path as a pattern that means itself alone."""
    return re.sub(r"([\\*?\[\]!# ])", r"\\\1", path)


def _size(path: Path) -> int:
    return path.lstat().st_size
