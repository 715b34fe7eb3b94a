"""What a run does to the rows of the version that it builds on."""

from dataclasses import dataclass

from operators.storage.parquet import Shard
from operators.storage.receipts import Receipt


@dataclass(frozen=True)
class Update:
    """The files that stay, and the rows of the last version against those of the new one."""

    kept: tuple[Shard, ...] = ()
    """Data files of the parent version that the new version has too, untouched."""
    rewritten: tuple[Shard, ...] = ()
    """Files that stand in for some of the parent's, with those of their rows that stay."""
    parent_rows: int = 0
    """Rows of the version that is built on; 0 where there is none."""
    added: int | None = 0
    """Rows whose id the parent version has not; None where its ids were not read."""
    changed: int | None = 0
    """Rows whose id is there with another content; None where its ids were not read."""
    deleted: int = 0
    """Ids of the parent version that the new one has not; at least so many where none were read."""
    reused: int = 0
    """Rows written anew with the vector of an equal text instead of an encoded one."""
    encoded: tuple[Receipt, ...] = ()
    """What was encoded for the rows written, where that was a run of its own."""
    quarantine: tuple[str, ...] = ()
    """Quarantine files beside those of the receipts."""
    source_files: str = ""
    """Where the table keeps what it was made of, for the next run."""
    passing_units: tuple[str, ...] = ()
    """Units without a receipt that a store failed: the next run may have them."""

    @property
    def changes_rows(self) -> bool:
        """Whether any row came, went or has another content."""
        return bool(self.added or self.changed or self.deleted)

    @property
    def counted(self) -> bool:
        """Whether ids were compared with those of the parent version."""
        return self.added is not None

    @property
    def kept_rows(self) -> int:
        """Rows of the parent version that are not written anew."""
        return sum(shard.rows for shard in (*self.kept, *self.rewritten))

    def told(self) -> dict[str, int | None]:
        """What a commit records of it."""
        return {
            "parent_rows": self.parent_rows,
            "added": self.added,
            "changed": self.changed,
            "deleted": self.deleted if self.counted else None,
            "reused": self.reused,
            "files_kept": len(self.kept),
            "files_rewritten": len(self.rewritten),
            "rows_rewritten": sum(shard.rows for shard in self.rewritten),
        }


FROM_NOTHING = Update()
