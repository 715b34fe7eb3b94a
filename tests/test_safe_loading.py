"""Nothing that is read runs code: no pickle, no archive, no eval; each exception is named here."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("operators", "pipelines", "cluster")
MODULES = {
    *("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"),
    *("zipfile", "tarfile", "lzma", "bz2", "xml", "runpy", "code", "codeop", "imp", "ctypes"),
}
CALLS = {
    *("eval", "exec", "compile", "__import__"),
    *("torch.load", "torch.hub.load", "joblib.load", "np.load", "numpy.load", "os.system"),
    *("os.popen", "yaml.unsafe_load", "yaml.full_load", "faiss.read_index", "set_start_method"),
}
ANYWHERE = {"import_module", "unpack_archive", "extractall"}
ALLOWED = {
    ("pipelines/raw.py", "yaml.load"): "with a loader of its own made of yaml.SafeLoader",
    ("operators/encode/allocator.py", "ctypes"): "two settings of this process's own malloc",
    ("cluster/schedule.py", "subprocess.Popen"): "its own command line, as a list, no shell",
}


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a call's function; the attribute alone of anything else's."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def risks(tree: ast.AST) -> Iterator[str]:
    """What in a module could run code or unpack something that it reads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield node.module or ""
        elif isinstance(node, ast.Call):
            yield from _risks_of_call(node)


def _risks_of_call(node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    last = name.rpartition(".")[2]
    if name in CALLS or last in ANYWHERE or name == "yaml.load":
        yield name
    if name.startswith("subprocess."):
        yield name
    for keyword in node.keywords:
        value = getattr(keyword.value, "value", None)
        if keyword.arg in {"allow_pickle", "trust_remote_code", "shell"} and value is not False:
            yield f"{keyword.arg}={value}"
        if keyword.arg in {"use_safetensors", "weights_only"} and value is not True:
            yield f"{keyword.arg}={value}"
    if last == "from_pretrained" and "local_files_only" not in {k.arg for k in node.keywords}:
        yield f"{name} that may fetch"


def found() -> dict[tuple[str, str], int]:
    rows: dict[tuple[str, str], int] = {}
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for risk in risks(ast.parse(path.read_text())):
            key = (str(path.relative_to(ROOT)), risk)
            rows[key] = rows.get(key, 0) + 1
    return rows


def test_the_packages_load_nothing_that_could_run_code():
    assert {key for key in found() if key not in ALLOWED} == set()


def test_no_exception_is_left_over():
    assert set(ALLOWED) <= found().keys()


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from cloudpickle import loads",
        "x = torch.load(path)",
        "np.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name)",
        "AutoModel.from_pretrained(name, local_files_only=True, trust_remote_code=True)",
        "archive.extractall(folder)",
        "yaml.load(text, Loader)",
        "subprocess.run(line, shell=True)",
        "def f():\n    import tarfile",
    ],
)
def test_what_could_run_code_is_seen(line):
    assert list(risks(ast.parse(line)))


def test_what_is_safe_passes():
    line = "safetensors.torch.load(data); json.loads(data); yaml.safe_load(t); re.compile(p)"
    assert list(risks(ast.parse(line))) == []
