"""A token behind every row, written into what a tokenizer's own file says it puts there."""

import json
from pathlib import Path
from typing import Any

from operators.errors import ModelError

Json = dict[str, Any]


def ended(file: Path, ending: str, model: str) -> str:
    """The JSON of a tokenizer that puts its token `ending` behind a text; ModelError if it cannot.

    Two templates one behind the other do not both count, so its own is made longer.
    """
    told = json.loads(file.read_bytes())
    token = _token(told, ending)
    if token is None:
        raise ModelError(model, f"ending {ending!r} is no token of its tokenizer")
    if not _lengthened(told, ending, token):
        kind = told["post_processor"]["type"]
        problem = f"its tokenizer ends a text by a {kind}, which takes no other ending"
        raise ModelError(model, problem)
    return json.dumps(told, ensure_ascii=False)


def _token(told: Json, ending: str) -> int | None:
    """Its number among the added tokens or in the vocabulary."""
    for added in told.get("added_tokens") or []:
        if added["content"] == ending:
            return int(added["id"])
    vocabulary = told["model"].get("vocab")
    if isinstance(vocabulary, dict):
        found = vocabulary.get(ending)
        return None if found is None else int(found)
    pieces = [piece for piece, _ in vocabulary or []]
    return pieces.index(ending) if ending in pieces else None


def _lengthened(told: Json, ending: str, token: int) -> bool:
    """Put the ending into the template, in place; False for a processor without a template."""
    own = told.get("post_processor")
    parts = own["processors"] if own and own["type"] == "Sequence" else [own] if own else []
    templates = [part for part in parts if part["type"] == "TemplateProcessing"]
    if not templates and not all(part["type"] == "ByteLevel" for part in parts):
        return False
    if not templates:
        templates = [_bare()]
        told["post_processor"] = {"type": "Sequence", "processors": [*parts, *templates]}
    templates[-1]["single"].append({"SpecialToken": {"id": ending, "type_id": 0}})
    named = {"id": ending, "ids": [token], "tokens": [ending]}
    templates[-1]["special_tokens"][ending] = named
    return True


def _bare() -> Json:
    first, second = (
        {"Sequence": {"id": name, "type_id": place}} for place, name in enumerate("AB")
    )
    return {
        "type": "TemplateProcessing",
        "single": [first],
        "pair": [first, second],
        "special_tokens": {},
    }
