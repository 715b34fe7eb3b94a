"""How a source is cut in units of bounded bytes: one retry and one shard each (DESIGN §1.5)."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from operators.storage.uri import File
from operators.text.places import relative
from operators.text.read_parquet import Footer
from operators.text.rows import piece_records
from operators.text.source import UNIT_BYTES, Piece, Source, Unit
from pipelines.listing import Listing, whole_piece

_INFLATES = 5
"""How much larger compressed text is taken to be, before a reader knows."""
_MOST_FILES = 256
"""Small files a unit joins at most: on an object store each costs a request or two."""


@dataclass(frozen=True)
class _Cut:
    """A piece, its bytes as `unit_bytes` measures them, and its bytes as stored."""

    piece: Piece
    size: int
    stored: int


def cut_units(source: Source, listing: Listing) -> tuple[Unit, ...]:
    """Cut what was listed, in its order; `source` is the listing's, at any `unit_bytes`.

    A unit's id is a digest of the files' relative paths and versions and of the ranges, so it
    stays when other files come or go unless they join it. With `limit`, the rows of the first
    units are counted (text files are read for that) and the last unit ends at that row.
    """
    bound = source.unit_bytes or UNIT_BYTES
    cuts: Iterable[_Cut] = _cuts(listing, bound)
    if source.limit:
        cuts = _limited(source, cuts)
    groups = enumerate(_joined(cuts, bound))
    return tuple(_unit(listing, bound, ordinal, group) for ordinal, group in groups)


def _cuts(listing: Listing, bound: int) -> Iterator[_Cut]:
    if listing.kind == "parquet":
        for file, footer in zip(listing.files, listing.footers, strict=True):
            yield from _row_ranges(file, footer, bound)
        return
    for file in listing.files:
        piece = whole_piece(listing.kind, file)
        if piece.compression:
            yield _Cut(piece, file.size * _INFLATES, file.size)
        elif listing.source.newlines_in_values and piece.format == "csv":
            yield _Cut(piece, file.size, file.size)
        elif file.size:
            yield from _byte_ranges(piece, bound)


def _byte_ranges(piece: Piece, bound: int) -> Iterator[_Cut]:
    count = -(-piece.size // bound)
    for index in range(count):
        start, stop = piece.size * index // count, piece.size * (index + 1) // count
        cut = replace(piece, start=start, stop=stop, whole=count == 1)
        yield _Cut(cut, stop - start, stop - start)


def _row_ranges(file: File, footer: Footer, bound: int) -> Iterator[_Cut]:
    """Small row groups together, oversized ones split by rows; a damaged file stays alone."""
    if footer.damaged:
        piece = Piece(file.uri, "parquet", file.version, file.size, 0, 0, whole=False)
        yield _Cut(piece, file.size, file.size)
        return
    rows = sum(footer.rows)
    start = stop = size = 0
    ranges: list[tuple[int, int, int]] = []
    for group_rows, group_size in zip(footer.rows, footer.sizes, strict=True):
        if start < stop and size + group_size > bound:
            ranges += _split(start, stop, size, bound)
            start, size = stop, 0
        stop, size = stop + group_rows, size + group_size
    ranges += _split(start, stop, size, bound)
    for first, last, part in ranges:
        whole = last - first == rows
        piece = Piece(file.uri, "parquet", file.version, file.size, first, last, whole=whole)
        yield _Cut(piece, part, file.size * (last - first) // rows)


def _split(start: int, stop: int, size: int, bound: int) -> list[tuple[int, int, int]]:
    rows = stop - start
    count = min(max(-(-size // bound), 1), rows)
    marks = [start + rows * index // count for index in range(count + 1)] if count else []
    return [(a, b, size // count) for a, b in pairwise(marks)]


def _limited(source: Source, cuts: Iterable[_Cut]) -> Iterator[_Cut]:
    """The cuts up to the row where the limit is reached."""
    left = source.limit
    for cut in cuts:
        piece = cut.piece
        if piece.format == "parquet":
            count = min(piece.stop - piece.start, left)
            whole = piece.whole and count == piece.stop - piece.start
            piece = replace(piece, stop=piece.start + count, whole=whole)
        else:
            count = sum(1 for _ in piece_records(source, replace(piece, max_rows=left)))
            piece = replace(piece, max_rows=left) if count == left else piece
        left -= count
        yield replace(cut, piece=piece)
        if not left:
            return


def _joined(cuts: Iterable[_Cut], bound: int) -> Iterator[list[_Cut]]:
    """Runs of whole small files; a part of a file stays alone.

    So does a compressed file: cut short, it would take its neighbours' rows with it.
    """
    run: list[_Cut] = []
    size = 0
    for cut in cuts:
        full = size + cut.size > bound or len(run) == _MOST_FILES
        if run and (full or not (_can_join(cut.piece) and _can_join(run[-1].piece))):
            yield run
            run, size = [], 0
        run.append(cut)
        size += cut.size
    if run:
        yield run


def _can_join(piece: Piece) -> bool:
    return piece.whole and not piece.compression


def _unit(listing: Listing, bound: int, ordinal: int, cuts: list[_Cut]) -> Unit:
    pieces = tuple(cut.piece for cut in cuts)
    splits = any(
        piece.compression or (piece.format == "csv" and piece.whole and piece.size > bound)
        for piece in pieces
    )
    counted = listing.kind == "parquet"
    return Unit(
        id=_name(listing, pieces, bound if splits else 0),
        ordinal=ordinal,
        pieces=pieces,
        rows=sum(piece.stop - piece.start for piece in pieces) if counted else -1,
        size=sum(cut.stored for cut in cuts),
        splits=splits,
    )


def _name(listing: Listing, pieces: tuple[Piece, ...], bound: int) -> str:
    """Parts of a unit that splits depend on the bound, so its name does too."""
    told = [
        (relative(listing.root, p.uri), p.version, p.size, p.start, p.stop, p.max_rows)
        for p in pieces
    ]
    data = json.dumps([listing.kind, bound, told], ensure_ascii=False)
    digest = hashlib.blake2b(data.encode("utf-8", "surrogateescape"), digest_size=8)
    return f"u{digest.hexdigest()}"
