"""Folders whose config.json wraps a transformer known here, with layers that we have ourselves.

They name Python code of their own, which is never run: what it would do is a strategy of `encode`.
"""

from dataclasses import replace
from typing import Any

from operators.modules import Modules, Pooling

LATENT = "latent_attention_config"


def unwrapped(config: dict[str, Any], parts: Modules) -> tuple[dict[str, Any], Modules]:
    """The transformer's own config, and the modules; of any other folder, what was given.

    NV-Embed wraps a Mistral, and leaves an instruction out of its mean.
    """
    if config.get("model_type") != "nvembed" or not isinstance(config.get("text_config"), dict):
        return config, parts
    inner = {key: value for key, value in config["text_config"].items() if key != "auto_map"}
    own = {"model_type": "mistral", "architectures": ["MistralModel"]}
    if parts.pooling is None:
        parts = replace(parts, pooling=Pooling(("mean",), include_prompt=False))
    return {**inner, **own, LATENT: config.get(LATENT) or {}}, parts
