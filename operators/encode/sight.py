"""Whether a strategy may say which tokens see which, told by a folder's JSON alone."""

from operators.errors import ModelError
from operators.model import Folder

_KINDS = frozenset({"full_attention", "sliding_attention"})


def check_decoder(folder: Folder, model: str, kind: str) -> None:
    """ModelError unless its tokens see only back."""
    if not folder.is_decoder:
        raise ModelError(model, f"its tokens see both ways already; leave strategy {kind} out")


def check_obeys(folder: Folder, model: str) -> None:
    """ModelError for a decoder that does not obey the mask it is given, in all of its layers."""
    if folder.model_type == "gpt_neo":
        problem = "a gpt_neo hides later tokens whatever mask it is given; take another decoder"
        raise ModelError(model, problem)
    others = sorted(set(folder.config.get("layer_types") or ()) - _KINDS)
    if others:
        problem = f"it has layers of {others[0]}, which take no mask; take another decoder"
        raise ModelError(model, problem)
