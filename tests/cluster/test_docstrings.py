"""The demo's corpus: what counts as a passage, in which order, and that nothing is imported."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from cluster.docstrings import MAX_WORDS, PACKAGES, SCHEMA, build, installed

WORDS = " ".join(f"word{i}" for i in range(30))


@pytest.fixture
def packages(tmp_path: Path) -> dict[str, Path]:
    """Two source folders; importing either would end the test."""
    alpha = tmp_path / "site-packages" / "alpha"
    beta = tmp_path / "site-packages" / "beta"
    (alpha / "tests").mkdir(parents=True)
    beta.mkdir()
    (alpha / "__init__.py").write_text(
        f'"""The alpha package. It is {WORDS}."""\nraise SystemExit("imported")\n'
    )
    (alpha / "shapes.py").write_text(
        "class Circle:\n"
        '    """==========\n    A round shape.\n    ==========\n\n'
        f"    Has a radius {WORDS}.\n"
        '    """\n'
        "    def area(self):\n"
        f'        """Return the area, e.g. of one. Computed {WORDS} once."""\n'
        "        def inner():\n"
        f'            """Hidden. In a function {WORDS}."""\n'
        "    def _private(self):\n"
        f'        """Secret. Not for readers {WORDS}."""\n'
        "def short():\n"
        '    """Too short. Only this."""\n'
        "def bare():\n    pass\n"
    )
    (alpha / "tests" / "case.py").write_text(f'"""A test. Not a document {WORDS}."""\n')
    (alpha / "broken.py").write_text("def (:\n")
    (beta / "copy.py").write_text(f'"""Another title. Computed {WORDS} once."""\n')
    (beta / "long.py").write_text(f'"""Long. It says {WORDS * 40}"""\n')
    return {"alpha": alpha, "beta": beta}


def test_first_sentence_is_the_title_and_the_rest_the_text(tmp_path, packages):
    assert build(tmp_path / "docs.parquet", packages=packages) == 4
    table = pq.read_table(tmp_path / "docs.parquet")
    assert table.schema.equals(SCHEMA)
    rows = {row["id"]: row for row in table.to_pylist()}
    assert rows["alpha"]["title"] == "The alpha package."
    assert rows["alpha.shapes.Circle"] == {
        "id": "alpha.shapes.Circle",
        "title": "A round shape.",
        "text": f"Has a radius {WORDS}.",
        "package": "alpha",
    }


def test_an_abbreviation_does_not_end_the_title(tmp_path, packages):
    build(tmp_path / "docs.parquet", packages={"alpha": packages["alpha"]})
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "docs.parquet").to_pylist()}
    assert rows["alpha.shapes.Circle.area"]["title"] == "Return the area, e.g. of one."


def test_private_tested_short_and_broken_sources_are_left_out(tmp_path, packages):
    build(tmp_path / "docs.parquet", packages=packages)
    ids = set(pq.read_table(tmp_path / "docs.parquet")["id"].to_pylist())
    assert ids.isdisjoint({"alpha.tests.case", "alpha.shapes.short", "alpha.broken"})
    assert not any("_private" in name or "inner" in name for name in ids)


def test_a_repeated_text_is_kept_once_and_a_long_one_is_cut(tmp_path, packages):
    build(tmp_path / "docs.parquet", packages=packages)
    texts = pq.read_table(tmp_path / "docs.parquet")["text"].to_pylist()
    assert len(set(texts)) == len(texts)
    assert max(len(text.split()) for text in texts) == MAX_WORDS


def test_packages_take_turns_so_that_a_small_limit_holds_each(tmp_path, packages):
    assert build(tmp_path / "docs.parquet", passages=2, packages=packages) == 2
    assert pq.read_table(tmp_path / "docs.parquet")["package"].to_pylist() == ["alpha", "beta"]


def test_the_same_sources_give_the_same_rows_and_leave_the_file_alone(tmp_path, packages):
    path, again = tmp_path / "docs.parquet", tmp_path / "again.parquet"
    build(path, packages=packages)
    before = path.stat().st_mtime_ns
    build(path, packages=packages)
    build(again, packages=packages)
    assert path.stat().st_mtime_ns == before
    assert path.read_bytes() == again.read_bytes()


def test_a_changed_source_replaces_the_file(tmp_path, packages):
    path = tmp_path / "docs.parquet"
    build(path, packages=packages)
    (packages["beta"] / "new.py").write_text(f'"""New. Added later {WORDS}."""\n')
    assert build(path, packages=packages) == 5
    assert "beta.new" in pq.read_table(path)["id"].to_pylist()


def test_no_source_at_all_gives_an_empty_file_with_the_schema(tmp_path):
    assert build(tmp_path / "docs.parquet", packages={}) == 0
    assert pq.read_table(tmp_path / "docs.parquet").schema.equals(SCHEMA)


def test_every_dependency_is_found_without_being_imported():
    before = set(sys.modules)
    found = installed()
    assert set(found) == {"python", *PACKAGES}
    assert all(folder.is_dir() for folder in found.values())
    assert "transformers" not in set(sys.modules) - before
