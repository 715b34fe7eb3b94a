import pytest

from operators.text.places import relative, root_of
from operators.text.source import Source


@pytest.mark.parametrize(
    ("source", "file", "place"),
    [
        ("s3://lake/docs/", "s3://lake/docs/a/b.csv", "a/b.csv"),
        ("s3://lake/docs/*/b*.csv", "s3://lake/docs/a/b.csv", "a/b.csv"),
        ("/in/a.csv", "/in/a.csv", "a.csv"),
        ("file:///in", "/in/a.csv", "a.csv"),
        ("s3://lake/docs", "s3://lake/docs2/a.csv", "s3://lake/docs2/a.csv"),
    ],
)
def test_a_file_is_named_below_what_the_source_names(source, file, place) -> None:
    assert relative(root_of(Source(uri=source)), file) == place
