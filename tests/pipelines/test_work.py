from collections.abc import Callable

import pytest

from operators.errors import CorpusmillError, SourceError
from operators.storage import uri as store_uri
from operators.storage.parquet import read_shard
from operators.text.lines import damage_explained
from pipelines.work import failed


def missing(place: str) -> None:
    store_uri.read_bytes(f"{place}/none")


def missing_shard(place: str) -> None:
    read_shard(place, "data/none.parquet")


def cut_short(place: str) -> None:
    with damage_explained(place):
        raise OSError("it ends too early")


def no_parquet(place: str) -> None:
    store_uri.write_bytes(f"{place}/a.parquet", b"no Parquet")
    read_shard(place, "a.parquet")


def another_text(place: str) -> None:
    raise SourceError(place, "row 3 has changed since it was embedded")


@pytest.mark.parametrize("fault", [missing, missing_shard])
def test_what_a_store_refuses_may_pass_whatever_error_tells_it(
    store: str, fault: Callable[[str], None]
) -> None:
    with pytest.raises(CorpusmillError) as caught:
        fault(store)
    assert failed("u", caught.value).passing


@pytest.mark.parametrize("fault", [cut_short, no_parquet, another_text])
def test_what_lies_in_the_bytes_does_not_pass(store: str, fault: Callable[[str], None]) -> None:
    with pytest.raises(CorpusmillError) as caught:
        fault(store)
    assert not failed("u", caught.value).passing
