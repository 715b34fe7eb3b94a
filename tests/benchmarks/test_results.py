"""What a benchmark tells of how it was run."""

import pytest

from benchmarks._results import placeless


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("python -m benchmarks.search --cache /some/where --rows 10", "--rows 10"),
        ("python -m benchmarks.search --rows 10 --cache=near", "--rows 10"),
        ("python -m benchmarks.search --model /some/where/ce-minilm", "--model ce-minilm"),
        ("python -m benchmarks.search --model=/some/where/ce-minilm", "--model=ce-minilm"),
    ],
)
def test_a_command_is_kept_without_its_cache_and_without_folders(given, told):
    assert placeless(given) == f"python -m benchmarks.search {told}"
