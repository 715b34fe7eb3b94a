"""The JSON lines of FlagEmbedding and Tevatron: one (query, positive) a line."""

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from operators.distil.examples import Examples


def flagembedding(examples: Examples) -> Iterator[bytes]:
    """query, pos, neg, and pos_scores and neg_scores if labelled."""
    for place, (start, stop) in enumerate(pairwise(map(int, examples.lists.offsets))):
        texts = _strings(examples.documents, start, stop)
        line: dict[str, Any] = {
            "query": str(examples.queries[place]),
            "pos": texts[:1],
            "neg": texts[1:],
        }
        if examples.labelled:
            scores = [float(score) for score in examples.labels[start:stop]]
            line |= {"pos_scores": scores[:1], "neg_scores": scores[1:]}
        yield _line(line)


def tevatron(examples: Examples) -> Iterator[bytes]:
    """query_id, query, positive_passages and negative_passages, each with a score if labelled.

    Without a title, which Tevatron would join to the text: titles are in the text as embedded.
    """
    for place, (start, stop) in enumerate(pairwise(map(int, examples.lists.offsets))):
        ids = _strings(examples.ids, start, stop)
        texts = _strings(examples.documents, start, stop)
        passages: list[dict[str, Any]] = [
            {"docid": docid, "text": text} for docid, text in zip(ids, texts, strict=True)
        ]
        if examples.labelled:
            for passage, score in zip(passages, examples.labels[start:stop], strict=True):
                passage["score"] = float(score)
        yield _line(
            {
                "query_id": str(examples.query_ids[place]),
                "query": str(examples.queries[place]),
                "positive_passages": passages[:1],
                "negative_passages": passages[1:],
            }
        )


def _strings(array: Any, start: int, stop: int) -> list[str]:
    return [str(value) for value in array[start:stop]]


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"
