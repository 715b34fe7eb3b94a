"""Where benchmarks keep what they measured, and what is told of the machine."""

import json
import os
import platform
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from cluster.settings import cores

RESULTS = Path(__file__).parent / "results"
_PACKAGES = (
    *("torch", "transformers", "tokenizers", "sentence-transformers", "numpy", "pyarrow"),
    *("openvino", "onnxruntime", "fastembed", "faiss-cpu", "deltalake", "ray", "datatrove"),
)
_EXTENSIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
"""Of a processor, where they decide how fast it multiplies."""

Cell = str | int | float


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(map(str, cells)) + " |" for cells in lines]


def keep(name: str, command: str, lines: Sequence[str], facts: Mapping[str, object]) -> None:
    """Write `results/NAME.md` and `results/NAME.json`, and print the former.

    The command is kept without its cache, and without the folders of this machine.
    """
    RESULTS.mkdir(exist_ok=True)
    told = {"command": placeless(command), **_machine(), "versions": _versions(), **facts}
    (RESULTS / f"{name}.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    text = "\n".join(lines) + "\n"
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print("\n" + text)


def placeless(command: str) -> str:
    """A command without `--cache`, and with only the name of whatever it gives a full path of."""
    return shlex.join(_placeless(shlex.split(command)))


def _placeless(words: Sequence[str]) -> Iterator[str]:
    cache = False
    for word in words:
        option, sign, value = word.partition("=")
        if cache or option == "--cache":
            cache = not cache and not sign
        elif sign and Path(value).is_absolute():
            yield f"{option}={Path(value).name}"
        else:
            yield Path(word).name if Path(word).is_absolute() else word


def _versions() -> dict[str, str]:
    """Of what is installed of the packages that measure or are measured."""
    there = {dist.name for dist in metadata.distributions()}
    return {name: metadata.version(name) for name in _PACKAGES if name in there}


def _machine() -> dict[str, object]:
    """What the numbers depend on, and nothing that names the machine."""
    known = _processor()
    flags = set(known.get("flags", "").split())
    return {
        "cores": cores(),
        "machine": platform.machine(),
        "processor": known.get("model name", ""),
        "extensions": [name for name in _EXTENSIONS if name in flags],
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> dict[str, str]:
    """The first processor of /proc/cpuinfo; nothing where there is none."""
    place = Path("/proc/cpuinfo")
    if not place.is_file():
        return {}
    first, *_ = place.read_text(encoding="utf-8").split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
