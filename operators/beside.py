"""Tables that an operator reads beside its input, pinned to a version by the plan."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass as plain
from dataclasses import replace
from typing import Annotated, Any, Protocol, Self, runtime_checkable

from pydantic import Field
from pydantic.dataclasses import dataclass

from operators.base import STRICT, Operator
from operators.errors import ConfigError, SourceError
from operators.storage.table import Table
from operators.storage.uri import absolute
from operators.text.source import Source, Unit


@dataclass(frozen=True, config=STRICT)
class Beside:
    """Names a Delta table by `uri`, or by the `phase` of the same pipeline that commits it."""

    uri: str = ""
    phase: str = ""
    version: Annotated[int, Field(ge=-1)] = -1
    """-1 is the newest when the plan is made."""
    snapshot: str = ""
    """Digest of the version's files, set by the plan: the only part that is identity."""

    @property
    def named(self) -> bool:
        """Whether it names a table at all."""
        return bool(self.uri or self.phase)


@plain(frozen=True)
class Listed:
    """A source as the plan lists it: pinned, and cut in units."""

    source: Source
    units: tuple[Unit, ...]
    snapshot: str


@plain(frozen=True)
class Around:
    """What an operator may know of its phase when the plan is made."""

    source: Source
    """What the phase reads, pinned."""
    versions: Mapping[str, tuple[str, int]]
    """Table and version that each earlier phase committed."""
    own: Beside
    """The phase's own table at the version it builds on; nameless where it is new."""
    following: tuple[Operator, ...]
    """The steps behind the operator."""
    identify: Callable[[Operator], str]
    """Digest of an operator's identity."""
    list_source: Callable[[Source], Listed]
    """Lists another source; SourceError and others where it cannot be read."""


@runtime_checkable
class Follows(Protocol):
    """An operator that works another way when certain steps come after it."""

    def followed(self, following: tuple[Operator, ...]) -> Self:
        """The operator for what follows."""
        ...


@runtime_checkable
class Settles(Protocol):
    """An operator with fields that only the plan can fill in."""

    def settled(self, around: Around) -> Self:
        """The operator with them; CorpusmillError where they cannot be."""
        ...


def pinned(beside: Beside, versions: Mapping[str, tuple[str, int]]) -> Beside:
    """The table at a definite version, with its snapshot.

    ConfigError where its phase has committed nothing, SourceError where there is no such table or
    version, TableError where its rows are not those of its files.
    """
    if beside.phase:
        if beside.phase not in versions:
            raise ConfigError((f"phase {beside.phase!r} has committed no table to read yet",))
        uri, version = versions[beside.phase]
        beside = Beside(uri=uri, version=version)
    uri = absolute(beside.uri)
    table = Table(uri)
    newest = table.version()
    if newest < 0:
        raise SourceError(uri, "there is no Delta table")
    if beside.version > newest:
        raise SourceError(uri, f"it has no version {beside.version}; the newest is {newest}")
    version = newest if beside.version < 0 else beside.version
    table.check_rows(version)
    told = json.dumps([(file.path, file.size) for file in table.files(version)])
    snapshot = hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
    return replace(beside, uri=uri, phase="", version=version, snapshot=snapshot)


def besides(operator: Operator) -> list[Beside]:
    """Every table that an operator's fields name, however deep; of sources those by phase."""
    return list(_within(operator))


def _within(value: Any) -> list[Beside]:
    if isinstance(value, Beside):
        return [value] if value.named else []
    if isinstance(value, Source):
        return [Beside(value.uri, value.phase)] if value.phase else []
    if isinstance(value, tuple | list):
        return [found for item in value for found in _within(item)]
    fields = getattr(value, "__dataclass_fields__", {})
    return [found for name in fields for found in _within(getattr(value, name))]
