"""Runners and places as parameters: what is true of one is tested on all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.runner import Runner
from tests.lake import Lake, beir
from tests.tiny_models import build_classifier

Places = Callable[[str], str]
Runners = Callable[[str], Runner]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def place_on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A fresh base URI on the store of that name."""

    def fresh(store: str) -> str:
        if store == "s3":
            return str(request.getfixturevalue("s3")())
        return str(tmp_path_factory.mktemp("lake"))

    return fresh


@pytest.fixture(scope="session")
def runner_called(request: pytest.FixtureRequest) -> Runners:
    """The runner of that name; Ray is started for the first test that asks for it."""

    def runner(name: str) -> Runner:
        from cluster.commands import runner_named

        if name == "ray":
            request.getfixturevalue("ray_started")
        return runner_named(name, "")

    return runner


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process; its status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        from cluster.cli import status

        capsys.readouterr()
        code = status(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder that holds the packages, for commands that are run in it."""
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tiny_teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_classifier(tmp_path_factory.mktemp("teacher") / "tiny")


@pytest.fixture(scope="session")
def embedded(
    tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, tiny_teacher: Path
) -> Lake:
    """A lake whose documents and queries are embedded, for runs that go no further."""
    return _embedded(tmp_path_factory.mktemp("embedded"), tiny_model, tiny_teacher)


@pytest.fixture
def lake(tmp_path: Path, tiny_model: Path, tiny_teacher: Path) -> Lake:
    """The same, for one test alone."""
    return _embedded(tmp_path, tiny_model, tiny_teacher)


def _embedded(folder: Path, model: Path, teacher: Path) -> Lake:
    beir(folder)
    lake = Lake(folder, model, teacher)
    lake.run("local", last="queries")
    return lake
