"""The techniques that are measured, and what is published of each; `#` is docs/techniques.md's."""

from dataclasses import asdict, dataclass, field
from typing import Any

from operators import digest

LENGTH = 256
PASSAGE = 100
"""Tokens of a passage where documents are cut."""


@dataclass(frozen=True)
class Way:
    """An encoder's model and fields, and what its paper says it does."""

    model: str
    encode: dict[str, Any] = field(default_factory=dict)
    claim: str = "-"
    length: int = LENGTH
    passages: bool = False
    """Documents are cut; one counts as much as its best passage."""
    of: str = ""
    """The technique whose passages are joined, in place of encoding any."""
    aggregate: str = ""
    """How the vectors of a document's passages become one."""
    late: str = ""
    """The step that finds passages in documents that are read whole."""
    codes: dict[str, Any] = field(default_factory=dict)
    """The step behind the encoder, if any."""
    instruction: dict[str, Any] = field(default_factory=dict)
    """What stands before a query."""

    @property
    def long(self) -> bool:
        """Whether it differs from the plain pass only where documents are long."""
        return self.passages or bool(self.late or self.of)

    @property
    def recipe(self) -> str:
        """What names the figures of this way: all its fields that say something but the claim."""
        said = {name: value for name, value in asdict(self).items() if value and name != "claim"}
        return digest.of_json(said)[:12]

    def models(self, folder: str) -> dict[str, Any]:
        """The config's models."""
        told = {"instruction": self.instruction} if self.instruction else {}
        return {"model": {"path": folder, "max_length": self.length, **told}}

    def phase(self, source: str, table: str) -> dict[str, Any]:
        """The phase that encodes the documents of a BEIR folder."""
        steps: list[dict[str, Any]] = [{"tokenize": {"model": "model"}}]
        encode = {"model": "model", "precision": "bf16", **self.encode}
        if self.passages:
            steps.insert(0, {"passages": {"model": "model", "tokens": PASSAGE, "overlap": 0}})
        if self.late:
            cut = {"model": "model", "tokens": PASSAGE}
            steps = [{self.late: cut | ({"overlap": 0} if self.late == "late-passages" else {})}]
            encode |= _strategy("late-chunking")
        steps += [{"encode": encode}, *([self.codes] if self.codes else [])]
        return {
            "read": {"uri": source},
            "steps": steps,
            "write": {"table": table, "gate": {"max_bad_rows": 0.01}},
        }

    def joining(self, passages: str, table: str) -> dict[str, Any]:
        """The phase that joins the passages of a table."""
        steps = [{"aggregate": {"method": self.aggregate}}]
        return {"read": {"uri": passages}, "steps": steps, "write": {"table": table}}


def slug(technique: str) -> str:
    """A technique's name as that of a folder."""
    return technique.replace(", ", "-").replace(" ", "-")


def _strategy(kind: str, **fields: Any) -> dict[str, Any]:
    return {"strategy": {"kind": kind, **fields}}


_HALF = "STS of middle layers far above plain Matryoshka's (#40); this one was not trained so"
_STATIC = "contextual > these > FastText, in classification (#113)"

_TOKENS = {"language": "none", "marker": ""}
_MAXSIM = "MRR@10 0.262 on mMARCO, of another model, trained so (#45)"
_DUPMAE = "MRR@10 0.426 on MS MARCO where trained so (#1); this one knows its words alone"

WAYS = {
    "MiniLM, mean": Way(
        "minilm", claim="MTEB retrieval 41.7 (Hugging Face, embedding quantization)"
    ),
    "MiniLM, cls": Way(
        "minilm", {"pooling": "cls"}, "MRR@10 0.401 on MS MARCO where trained so (#1); not here"
    ),
    "MiniLM, rcnn-pool": Way("minilm", _strategy("rcnn-pool")),
    "MiniLM, 2dmse, 4 of 6 layers": Way("minilm", _strategy("2dmse", layers=4), _HALF),
    "MiniLM, 2dmse, 4 layers, 192 values": Way(
        "minilm", _strategy("2dmse", layers=4, dims=192), _HALF
    ),
    "MiniLM, static-l0, words": Way("minilm", _strategy("static-l0"), _STATIC),
    "MiniLM, static-l0, words, sif": Way("minilm", _strategy("static-l0", sif=0.001), _STATIC),
    "MiniLM, static-l0, first": Way("minilm", _strategy("static-l0", states="first"), _STATIC),
    "MiniLM, passages, best": Way("minilm", passages=True),
    "MiniLM, passages, aggregate mean": Way(
        "minilm", of="MiniLM, passages, best", aggregate="mean"
    ),
    "MiniLM, passages, aggregate max": Way("minilm", of="MiniLM, passages, best", aggregate="max"),
    "MiniLM, late-chunking, best": Way("minilm", length=512, late="late-passages"),
    "MiniLM, late-tree, best": Way("minilm", length=512, late="late-tree"),
    "MiniLM, token vectors": Way("tokens", _strategy("colbert-xm", **_TOKENS), _MAXSIM),
    "MiniLM, token vectors, half": Way(
        "tokens", _strategy("colbert-xm", **_TOKENS, share=0.5), "no loss at half (token pooling)"
    ),
    "MiniLM, token vectors, half, 2 bits": Way(
        "tokens",
        _strategy("colbert-xm", **_TOKENS, share=0.5),
        "an index 5-8 × smaller (ColBERTv2, its abstract)",
        codes={"quantize-tokens": {"nbits": 2}},
    ),
    "SPLADE-tiny, splade": Way("splade", _strategy("splade")),
    "SPLADE-tiny, dupmae": Way(
        "splade", {"pooling": "cls", "normalize": False, **_strategy("dupmae")}, _DUPMAE
    ),
    "mpnet, mean": Way("mpnet"),
    "mpnet, 2dmse, 8 of 12 layers": Way("mpnet", _strategy("2dmse", layers=8), _HALF),
    "mpnet, static-l0, words": Way("mpnet", _strategy("static-l0"), _STATIC),
}
"""On whole collections."""

_MTEB = "MTEB 71.6 for the last, 71.7 for the mean of a 7B trained both ways (#117)"

FEW = {
    "MiniLM, mean": Way("minilm"),
    "Gemma, last": Way("gemma", {"pooling": "last"}, _MTEB),
    "Gemma, mean": Way("gemma", {"pooling": "mean"}, _MTEB),
    "Gemma, static-l0, words": Way("gemma", _strategy("static-l0"), _STATIC),
    "Gemma, ullme": Way(
        "gemma", {"pooling": "mean", **_strategy("ullme")}, "strong on MTEB where trained so (#44)"
    ),
    "Gemma, prefix-lm": Way("gemma", {"pooling": "mean", **_strategy("prefix-lm")}),
    "Gemma, gem, not trained": Way(
        "gemma", _strategy("gem"), "15 of MTEB 18.3, once trained 54.4, of a 1B (#91)"
    ),
    "Gemma, jrt-repeat": Way(
        "gemma",
        {"pooling": "mean", **_strategy("jrt-repeat")},
        "recall tasks +11.0 ± 1.3 points, 16 recurrent models (#70)",
        length=2 * LENGTH,
    ),
    "Gemma, token-prepending": Way(
        "gemma", _strategy("token-prepending"), "STS 70.0, with it 77.2, of a 7B, 1.04 × time (#81)"
    ),
    "Gemma, lg-anna's instruction, last": Way(
        "gemma",
        {"pooling": "last"},
        "MTEB 74.1, with two examples 73.1, of a 7B (#67)",
        instruction={"task": "Given a question, retrieve passages that answer it"},
    ),
}
"""On a part of each collection: a decoder takes ten times as long."""

_CORECT = "of fp32, four models on 25 BEIR sets (CoRECT)"

SCHEMES = {
    "fp16": f"99.9-100 % {_CORECT}",
    "fp8": f"99.9-100 % {_CORECT}, without a scale",
    "int8": "no single winner among fourteen methods (#102)",
    "int8-dim": f"90.8 % of MiniLM (Hugging Face); 75.6-99.1 % {_CORECT}, both bin × bin",
    "residual-codec:nbits=4": "an index 5-8 × smaller (ColBERTv2, its abstract)",
    "residual-codec": "an index 5-8 × smaller (ColBERTv2, its abstract)",
    "binary": f"93.8 % of MiniLM, ranked again (Hugging Face); 54.3-94.8 % {_CORECT}",
    "binary:center=median": f"58.4-91.7 % {_CORECT}",
    "rabitq": "recall@10 98 % with 50 candidates, 30 million rows (Lucene 13650)",
    "pq": f"at 1/32 of the bytes 30.2-92.4 % {_CORECT}",
    "opq": "-",
    "rvq": "-",
    "truncate:dims=192": "half of 1,024 values: 94.7 % not trained for it, 99.2 % trained (CoRECT)",
    "int8:dims=192": "-",
}
"""Over the vectors of the first way."""
