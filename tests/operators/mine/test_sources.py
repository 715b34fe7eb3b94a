"""What a plan refuses of mining's sources before anything is opened."""

import pytest

from operators.errors import ConfigError, ContractError
from operators.mine.sources import check_installed, check_needs
from operators.text.source import Source


def test_a_missing_optional_package_is_named_with_what_installs_it() -> None:
    with pytest.raises(ConfigError, match=r"bm25 needs the package nowhere.*corpusmill\[mine\]"):
        check_installed("nowhere", "bm25")


def test_a_package_that_is_there_is_accepted() -> None:
    check_installed("numpy", "bm25")


def test_bm25_alone_knows_of_documents_what_their_source_keeps() -> None:
    kept = Source("docs", id="id", text=("text",), keep=("parent_id",))
    check_needs((), kept, {"parents"})
    said = r"'kind'.*keep: \[kind\] under 'documents'.*id, text, parent_id in docs"
    with pytest.raises(ContractError, match=said):
        check_needs((), kept, {"parents", "kinds"})
