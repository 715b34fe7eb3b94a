"""The errors a user sees: data with one sentence, picklable, each with its exit code."""

from dataclasses import dataclass, fields
from typing import ClassVar


@dataclass(eq=False)
class CorpusmillError(Exception):
    """Something a user can act on; `exit_code` is what the command returns (DESIGN §5)."""

    exit_code: ClassVar[int] = 1

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(eq=False)
class ConfigError(CorpusmillError):
    """Every mistake of a config, found before anything starts."""

    mistakes: tuple[str, ...]
    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return "\n".join(self.mistakes)


@dataclass(eq=False)
class ContractError(CorpusmillError):
    """An operator needs a column that its input has not, or has as another type."""

    operator: str
    column: str
    needed: str
    found: str
    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return (
            f"{self.operator} needs column {self.column!r} as {self.needed}, "
            f"but its input has {self.found}"
        )


@dataclass(eq=False)
class ModelError(CorpusmillError):
    """A model folder that cannot be used as the config says."""

    model: str
    problem: str
    exit_code: ClassVar[int] = 2

    def __str__(self) -> str:
        return f"model {self.model}: {self.problem}"


@dataclass(eq=False)
class RowError(ModelError):
    """A row that a model cannot take, where it can take the others of its unit."""


@dataclass(eq=False)
class DeviceError(CorpusmillError):
    """A device that answers this process no more; a new process may use it again."""

    device: str
    problem: str
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"device {self.device}: {self.problem}"


@dataclass(eq=False)
class SourceError(CorpusmillError):
    """A source that cannot be listed or read."""

    uri: str
    problem: str
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"source {self.uri}: {self.problem}"


@dataclass(eq=False)
class DamageError(SourceError):
    """A file of a source whose bytes are broken or cut short; the other files may be fine."""


@dataclass(eq=False)
class PassingError(SourceError):
    """What a store refused, or is no more as it was listed; the next run may do better."""


@dataclass(eq=False)
class TableError(CorpusmillError):
    """A table that is missing, broken, or not what a command needs."""

    uri: str
    problem: str
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"table {self.uri}: {self.problem}"


@dataclass(eq=False)
class PreflightError(CorpusmillError):
    """The run was refused before it started."""

    problem: str
    exit_code: ClassVar[int] = 3

    def __str__(self) -> str:
        return self.problem


@dataclass(eq=False)
class BudgetError(CorpusmillError):
    """The run stopped at its budget; what was finished is kept."""

    phase: str
    cost: float
    limit: float
    finished: int
    units: int
    exit_code: ClassVar[int] = 3

    def __str__(self) -> str:
        return (
            f"phase {self.phase}: stopped at the budget: it has cost {self.cost:,.2f} so far, more "
            f"than {self.limit:,.2f}; {self.finished:,} of {self.units:,} units are finished and "
            "kept; run again to go on for as much again, raise budget.max_cost, or run with --yes"
        )


@dataclass(eq=False)
class GateError(CorpusmillError):
    """The candidate version failed its gate; the old version stays, staged files are kept."""

    table: str
    reasons: tuple[str, ...]
    exit_code: ClassVar[int] = 4

    def __str__(self) -> str:
        return f"table {self.table}: not published: " + "; ".join(self.reasons)


@dataclass(eq=False)
class ConflictError(CorpusmillError):
    """Another run of the same table came first."""

    table: str
    problem: str
    exit_code: ClassVar[int] = 5

    def __str__(self) -> str:
        return f"table {self.table}: {self.problem}"


@dataclass(eq=False)
class ClusterError(CorpusmillError):
    """A cluster that was reached and did not do what was asked of it."""

    where: str
    problem: str
    exit_code: ClassVar[int] = 1

    def __str__(self) -> str:
        return f"cluster {self.where}: {self.problem}"
