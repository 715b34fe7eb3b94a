"""A corpus every installation has: the docstrings of the packages it depends on."""

import ast
import gc
import itertools
import os
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

PACKAGES = (
    "aiohttp",
    "deltalake",
    "fsspec",
    "huggingface_hub",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "ray",
    "rich",
    "s3fs",
    "tokenizers",
    "torch",
    "transformers",
)
SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "title", "text", "package")])
MIN_WORDS = 20
MAX_WORDS = 300
ROWS_PER_GROUP = 500
_SKIPPED_FOLDERS = {"site-packages", "dist-packages", "idlelib", "lib2to3", "thirdparty_files"}
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^a-z])|\n\s*\n")
_RULED_LINE = re.compile(r"^[=\-~^*#]{3,}$", re.MULTILINE)

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Passage:
    """One docstring: its first sentence is the title, what follows is the text."""

    id: str
    """Dotted path of the module, class or function."""
    title: str
    text: str
    package: str


def build(path: Path, passages: int = 6000, packages: Mapping[str, Path] | None = None) -> int:
    """Write at most `passages` docstrings to a Parquet file and return how many there were.

    Columns are id, title, text (20 to 300 words) and package. Packages take turns, each with its
    files in the order of a hash of their path: equal sources give equal rows. No package is
    imported. `packages` maps names to source folders; the default is `installed()`. A file that
    already holds these rows is left alone, so its modification time says when the corpus changed.
    """
    folders = installed() if packages is None else packages
    turns = take_turns([read_package(name, folder) for name, folder in sorted(folders.items())])
    with _collector_paused():
        chosen = list(itertools.islice(distinct(turns), passages))
    table = pa.table(
        {name: [getattr(passage, name) for passage in chosen] for name in SCHEMA.names}, SCHEMA
    )
    if not (path.is_file() and pq.read_table(path, partitioning=None).equals(table)):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        pq.write_table(table, part, compression="zstd", row_group_size=ROWS_PER_GROUP)
        part.replace(path)
    return len(chosen)


def installed() -> dict[str, Path]:
    """The source folders of the standard library and of `PACKAGES`, found without importing."""
    folders = {"python": Path(sysconfig.get_path("stdlib"))}
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            folders[name] = Path(spec.submodule_search_locations[0])
    return folders


def take_turns(streams: Iterable[Iterator[Passage]]) -> Iterator[Passage]:
    """One passage of each stream after the other, until all are empty; reads no further ahead."""
    waiting = list(streams)
    while waiting:
        running = []
        for stream in waiting:
            passage = next(stream, None)
            if passage is not None:
                running.append(stream)
                yield passage
        waiting = running


def distinct(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Drop a passage whose id or text came before."""
    ids: set[str] = set()
    texts: set[str] = set()
    for passage in passages:
        if passage.id not in ids and passage.text not in texts:
            ids.add(passage.id)
            texts.add(passage.text)
            yield passage


def read_package(package: str, folder: Path) -> Iterator[Passage]:
    """The passages of one package, file by file in the order of their hashed paths."""
    prefix = () if package == "python" else (package,)
    for file in sorted(_sources(folder), key=lambda file: _rank(file.relative_to(folder))):
        parts = file.relative_to(folder).with_suffix("").parts
        module = ".".join((*prefix, *(part for part in parts if part != "__init__")))
        yield from read_module(package, module, file)


def read_module(package: str, module: str, file: Path) -> Iterator[Passage]:
    """The passages of one source file, public names only; none where it is not valid Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other people's invalid escapes
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    for name, docstring in _docstrings(tree, module):
        passage = _passage(package, name, docstring)
        if passage is not None:
            yield passage


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Syntax trees hold no cycles: tracing them would be a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _sources(folder: Path) -> Iterator[Path]:
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if _public(name))
        for name in files:
            if name.endswith(".py") and (name == "__init__.py" or _public(name)):
                yield Path(root, name)


def _public(name: str) -> bool:
    return not name.startswith(("_", ".", "test")) and name not in _SKIPPED_FOLDERS


def _rank(relative: Path) -> bytes:
    return blake2b(relative.as_posix().encode(), digest_size=8).digest()


def _docstrings(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """Every documented name of a module with its docstring, outer names first."""
    open_nodes: list[tuple[str, ast.Module | Documented]] = [(module, tree)]
    while open_nodes:
        name, node = open_nodes.pop()
        docstring = ast.get_docstring(node)
        if name and docstring:
            yield name, docstring
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = [child for child in node.body if isinstance(child, Documented)]
            open_nodes += [
                (f"{name}.{child.name}".lstrip("."), child)
                for child in reversed(inner)
                if not child.name.startswith("_")
            ]


def _passage(package: str, name: str, docstring: str) -> Passage | None:
    parts = _SENTENCE_END.split(_RULED_LINE.sub("", docstring).strip(), maxsplit=1)
    words = parts[-1].split()[:MAX_WORDS]
    if len(parts) < 2 or len(words) < MIN_WORDS:
        return None
    return Passage(name, " ".join(parts[0].split()), " ".join(words), package)
