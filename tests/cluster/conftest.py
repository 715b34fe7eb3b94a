"""Runners and places as parameters: what is true of one is tested on all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.runner import Runner

Places = Callable[[str], str]
Runners = Callable[[str], Runner]


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


@pytest.fixture(scope="session")
def project() -> Path:
    """The folder that holds the packages, for commands that are run in it."""
    return Path(__file__).parents[2]
