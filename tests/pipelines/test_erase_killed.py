"""An erasure that is killed at any step and started again ends where an undisturbed one does."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from operators.storage.table import Table
from pipelines.erase import Request, erase, plan_erasure, prove
from tests.erased_tables import EXAMPLES, NAME, built, erased, everything, holders, ids_of


class Killed(BaseException):
    """The process is no more: nothing catches it."""


class Death:
    """Lets a number of renames, links and deletions under a folder pass, then none at all."""

    def __init__(self) -> None:
        self.left, self.under = -1, ""
        sys.addaudithook(self.saw)

    def saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        touches = self.under and event in {"os.rename", "os.link", "os.remove"}
        if touches and str(arguments[0]).startswith(self.under):
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.fixture(scope="module")
def death() -> Death:
    return Death()


def deaths(death: Death, place: str) -> Iterator[int]:
    """Kill erasures of the table ever later, until one comes to its end."""
    for steps in range(100):
        death.left, death.under = steps, place
        try:
            erase(plan_erasure(Request(place, (NAME,))))
        except Killed:
            yield steps
        else:
            return
        finally:
            death.under = ""


@pytest.mark.parametrize("lineage", [{}, {"audit": EXAMPLES}], ids=["history stays", "log is cut"])
def test_killed_at_any_step_and_run_again_it_ends_in_the_same_state(tmp_path, death, lineage):
    place = built(str(tmp_path / "whole"), **lineage)
    erased(place, NAME)
    expected = state(place)
    count = 0
    for steps in range(100):
        place = built(str(tmp_path / f"t{steps}"), **lineage)
        death.left, death.under = steps, place
        try:
            erase(plan_erasure(Request(place, (NAME,))))
        except Killed:
            death.under = ""
            count += 1
        else:
            break
        finally:
            death.under = ""
        assert len(ids_of(place)) in {4, 5}
        erased(place, NAME)
        assert state(place) == expected
        assert holders(place) == []
    assert count >= 10


def test_killed_again_and_again_it_comes_to_its_end(tmp_path, death):
    place = built(str(tmp_path), audit=EXAMPLES)
    assert list(deaths(death, place))
    prove(plan_erasure(Request(place, (NAME,))))
    assert ids_of(place) == ["a", "b", "x", "y"]


def state(place: str) -> tuple[object, ...]:
    """What a table holds and says, without times, keys and numbers of versions."""
    lineage = Table(place).lineage() or {}
    told = {name: lineage[name] for name in lineage if name not in {"run_key", "erased"}}
    side = sorted(path.partition("attempts")[0] for path in everything(place) if path[0] == "_")
    side = [path for path in side if not path.startswith("_delta_log")]
    rows = [part.to_pylist() for part in Table(place).read()]
    return rows, json.dumps(told, sort_keys=True), lineage["erased"]["rows"], side
