"""A measured table as cells to show and as JSON."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from operators.columns import decoder_of
from pipelines.compress.measure import FLOAT, Compressed, Figures

HEAD = (
    "scheme",
    "bytes a row",
    "with learned",
    "of stored",
    "recall@{k}",
    "nDCG@10",
    "lost",
    "MSE",
    "cosine",
    "coded/s",
)


def head(found: Compressed) -> list[str]:
    """The names of the columns."""
    return [name.format(k=found.wish.k) for name in HEAD]


def rows(found: Compressed) -> Iterator[list[str]]:
    """A row for each scheme, the smallest last."""
    floats = found.figures[0]
    for one in sorted(found.figures, key=lambda one: -one.whole(found.of)):
        yield _cells(one, floats, found.of)


def told(found: Compressed) -> Iterator[str]:
    """What was measured on what, and what follows."""
    wish, index = found.wish, found.index
    field = index.column.field
    by = f" by {scheme}" if (scheme := decoder_of(field)[0]) else ""
    yield f"{wish.uri}, version {index.version}: {index.dim} dimensions, {field.name}{by}"
    yield f"searched: {found.rows:,} of {found.of:,} rows; asked: {found.queries}"
    measure = f"recall@{wish.k}" if math.isnan(found.figures[0].ndcg) else "nDCG@10"
    rule = f"at most {wish.loss:g} of {measure}"
    if found.best == FLOAT:
        yield f"No smaller scheme among these loses {rule}: keep the vectors as they are."
        return
    one = next(each for each in found.figures if each.name == found.best)
    lost = f"{one.lost:+.4f} ± {one.error:.4f}"
    size = f"{one.whole(found.of):.0f} bytes a row"
    yield f"The smallest that loses {rule}: {one.name}, {size}, {lost}."
    yield f"Schemes that learn did so from half of the rows, {found.learned:,}, for the other half."
    if found.rows < found.of:
        yield "Losses grow with the number of rows searched: try a larger --sample."


def to_json(found: Compressed) -> dict[str, Any]:
    """All but the time it took, as plain JSON values; what was not measured is null."""
    return {
        "table": found.wish.uri,
        "version": found.index.version,
        "column": found.index.column.field.name,
        "dim": found.index.dim,
        "rows": found.rows,
        "rows_of_table": found.of,
        "rows_learned_from": found.learned,
        "queries": found.queries,
        "asked": found.asked,
        "k": found.wish.k,
        "loss": found.wish.loss,
        "seed": found.wish.seed,
        "schemes": [
            {
                name: None if value != value else value
                for name, value in asdict(one).items()
                if name != "coded"
            }
            for one in found.figures
        ],
        "best": found.best,
    }


def _cells(one: Figures, floats: Figures, rows: int) -> list[str]:
    judged = not math.isnan(one.ndcg)
    lost = "" if one.name == FLOAT else f"{one.lost:+.4f} ± {one.error:.4f}"
    return [
        one.name,
        f"{one.bytes:.0f}",
        f"{one.whole(rows):.0f}",
        f"{one.whole(rows) / floats.whole(rows):.1%}",
        f"{one.recall:.4f}",
        f"{one.ndcg:.4f}" if judged else "",
        lost,
        f"{one.mse:.2e}",
        f"{one.cosine:.4f}",
        "" if one.name == FLOAT else f"{one.coded:,.0f}",
    ]
