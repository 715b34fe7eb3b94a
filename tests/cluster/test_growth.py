"""A pool with a range waits for the nodes of its least workers, and for no more."""

from contextlib import nullcontext
from typing import Any

import pytest

from operators.base import Resources
from operators.encode.encode import Encode
from operators.errors import PreflightError
from operators.model import Model
from pipelines.spec import Step


def encode(workers: Any) -> Step:
    return Step(Encode(model=Model("some/model")), Resources(workers=workers, cpus=0.5))


@pytest.mark.ray
def test_on_ray_a_range_whose_least_workers_fit_is_let_in_at_once(ray_started):
    from cluster.growth import grown

    with grown([encode([1, 900])], patience=0):
        pass


@pytest.mark.ray
def test_on_ray_a_range_whose_least_workers_never_fit_is_refused_after_the_wait(ray_started):
    from cluster.growth import grown

    refused = pytest.raises(
        PreflightError, match="after 1 s of waiting for nodes: the pools do not"
    )
    with refused, grown([encode([900, 901])], patience=1):
        pytest.fail("a pool of 900 workers was let in")


@pytest.mark.ray
def test_on_ray_a_wait_for_nodes_says_once_what_it_waits_for(ray_started, capsys):
    from cluster.growth import grown

    with pytest.raises(PreflightError), grown([encode([900, 901])], patience=3):
        pytest.fail("a pool of 900 workers was let in")
    said = capsys.readouterr().err
    assert said.count("waiting for nodes, 3 s at most: the pools do not fit: 900 encode") == 1


@pytest.mark.ray
def test_on_ray_of_this_machine_nothing_is_waited_for(ray_started):
    """It fails in the test's time limit otherwise: the patience is that of a cluster."""
    from cluster.ray_runner import RayRunner

    refused = pytest.raises(PreflightError, match=r"^the pools do not fit: 900 encode")
    with refused, RayRunner().started(), RayRunner().fitting([encode([900, 901])]):
        pytest.fail("a pool of 900 workers was let in")


@pytest.mark.ray
@pytest.mark.parametrize(
    ("pools", "patience", "refused"),
    [
        ([1, 900], 9, True),  # a later phase of fixed size on a cluster that has not grown
        ([[1, 2], 900], 9, False),  # one behind a phase with a range may find more nodes
        ([1, [1, 2], 900], 9, False),
        ([1, [900, 901]], 9, False),
        ([[1, 2], 900], 0, True),  # a cluster that never grows
        ([1, [900, 901]], 0, True),
    ],
)
def test_on_ray_later_phases_must_fit_up_to_one_that_makes_the_cluster_grow(
    ray_started, pools, patience, refused
):
    from cluster.growth import grown

    first, *later = ([encode(workers)] for workers in pools)
    with pytest.raises(PreflightError) if refused else nullcontext(), grown(first, patience, later):
        assert not refused
