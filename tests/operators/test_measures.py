"""What a worker tells of its work reaches who asked, and nobody else."""

import os
import threading

from operators.measures import measure, measured, whereabouts


def test_what_is_measured_inside_is_collected_and_outside_forgotten():
    measure("tokens", 5)
    with measured() as found:
        measure("tokens", 2)
        measure("tokens", 3)
        measure("calls", 1)
    measure("tokens", 7)
    assert found == {"tokens": 5, "calls": 1}


def test_an_inner_collection_has_what_is_its_own():
    with measured() as outer:
        measure("tokens", 1)
        with measured() as inner:
            measure("tokens", 2)
        measure("tokens", 4)
    assert (outer, inner) == ({"tokens": 5}, {"tokens": 2})


def test_another_thread_measures_for_itself():
    with measured() as found:
        thread = threading.Thread(target=measure, args=("tokens", 2))
        thread.start()
        thread.join()
    assert found == {}


def test_a_worker_is_named_by_node_and_process():
    assert whereabouts().endswith(f"/{os.getpid()}")
