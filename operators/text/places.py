"""Where a row came from, told so that moving the whole source changes nothing."""

from operators.errors import SourceError
from operators.storage import uri as store
from operators.text.source import Source


def root_of(source: Source) -> str:
    """The folder that `source_file` is relative to."""
    base = store.absolute(source.uri)
    marks = [base.find(mark) for mark in "*?[" if mark in base]
    return base[: min(marks)].rpartition("/")[0] if marks else base


def relative(root: str, uri: str) -> str:
    """The file's path below `root`, its name if it is `root` itself, else its URI."""
    if uri == root:
        return uri.rpartition("/")[2]
    return uri.removeprefix(root.rstrip("/") + "/")


def located(source: Source, file: str) -> str:
    """The URI of a file that `relative` told: its inverse; SourceError for one outside."""
    root = root_of(source)
    if store.leads_out(file):
        if ".." in file.split("/") or not _plain(file).startswith(_plain(root).rstrip("/") + "/"):
            raise SourceError(root, f"a table's row says that it came from {file!r}, outside of it")
        return file
    if file == root.rpartition("/")[2] and store.names_in(root) is None:
        return root
    return store.join(root, file)


def _plain(uri: str) -> str:
    """A URI whose scheme has one name: a listing calls what a config calls s3a:// s3://."""
    return uri.replace("s3a://", "s3://", 1)
