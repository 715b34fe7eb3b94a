"""What a plan refuses of mining's sources before anything is opened."""

import pytest

from operators.errors import ConfigError
from operators.mine.sources import check_installed


def test_a_missing_optional_package_is_named_with_what_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"bm25 needs the package nowhere.*corpusmill\[mine\]"):
        check_installed("nowhere", "bm25")


def test_a_package_that_is_there_is_accepted() -> None:
    check_installed("numpy", "bm25")
