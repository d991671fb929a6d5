"""What `--option K=V` may say, kind by kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from pipelines.errors import SourceError

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Column = Annotated[str, StringConstraints(min_length=1)]


def _columns(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _repository_path(value: str) -> str:
    parts = PurePosixPath(value).parts
    if ".." in parts or value.startswith("/"):
        raise ValueError("must be a path inside the repository, without '..' and not starting with '/'")
    return str(PurePosixPath(*parts)) if parts else ""


def _branch(value: str | None) -> str | None:
    if value is not None and (not value or value.startswith("-") or set(value) & set(" ~^:?*[\\")):
        raise ValueError("must be the name of a branch")
    return value


class SourceOptions(BaseModel):
    """Options of every kind. `quiescence` and `max_staleness` are seconds on the source's clock."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quiescence: Seconds = 1.0
    max_staleness: Seconds = 300.0


class FolderOptions(SourceOptions):
    """Options of a folder."""


class GitOptions(SourceOptions):
    """Options of a git repository. Without `branch` the repository's HEAD is followed."""

    quiescence: Seconds = 0.0
    branch: Annotated[str | None, AfterValidator(_branch)] = None
    path: Annotated[str, AfterValidator(_repository_path)] = ""


class SqliteOptions(SourceOptions):
    """Options of a table of an SQLite database. `sweep_interval` is seconds on our clock."""

    table: Column
    key: Column
    body: Column
    title: Column | None = None
    url: Column | None = None
    metadata: Annotated[tuple[Column, ...], BeforeValidator(_columns)] = ()
    tenant_column: Column | None = None
    format: Literal["markdown", "html", "rst", "plain"] = "markdown"
    install: bool = True
    sweep_interval: Seconds = 3600.0


class PostgresOptions(SourceOptions):
    """Options of a table of a PostgreSQL database, and of an ordered table of its documents' sections.

    `child_parent` is the sections' column that holds what `child_references` (the key, unless given) holds in
    the documents' table. The source is unhealthy once its slot retains more WAL than `max_retained_wal_mb`
    (MiB), or than the share `retained_wal_share` of the server's max_slot_wal_keep_size.
    """

    table: Column
    key: Column
    body: Column | None = None
    title: Column | None = None
    url: Column | None = None
    metadata: Annotated[tuple[Column, ...], BeforeValidator(_columns)] = ()
    tenant_column: Column | None = None
    format: Literal["markdown", "html", "rst", "plain"] = "markdown"
    slot: Annotated[str | None, StringConstraints(pattern=r"^[a-z0-9_]{1,63}$")] = None
    publication: Annotated[str | None, StringConstraints(min_length=1, max_length=63)] = None
    child_table: Column | None = None
    child_parent: Column | None = None
    child_order: Column | None = None
    child_body: Column | None = None
    child_title: Column | None = None
    child_references: Column | None = None
    max_retained_wal_mb: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2048.0
    retained_wal_share: Annotated[float, Field(gt=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _sections_are_whole(self) -> PostgresOptions:
        needed = ("child_parent", "child_order", "child_body")
        if self.child_table is None:
            given = [name for name in (*needed, "child_title", "child_references") if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)} means nothing without child_table")
            if self.body is None:
                raise ValueError("body is required where there is no child_table")
        elif missing := [name for name in needed if getattr(self, name) is None]:
            raise ValueError(f"child_table needs {', '.join(missing)} as well")
        return self


Options = TypeVar("Options", bound=SourceOptions)
OPTIONS: Mapping[str, type[SourceOptions]] = {
    "folder": FolderOptions,
    "git": GitOptions,
    "sqlite": SqliteOptions,
    "postgres": PostgresOptions,
}


def parse_options(kind: str, options: Mapping[str, str]) -> SourceOptions:
    """The options of a source of this kind. Raises SourceError naming the option and what is allowed."""
    if kind not in OPTIONS:
        raise SourceError(f"there is no source kind {kind!r}; there are: {', '.join(OPTIONS)}")
    return validated(OPTIONS[kind], kind, options)


def validated(model: type[Options], kind: str, options: Mapping[str, str]) -> Options:
    """`options` as `model`. Raises SourceError naming every bad option and what is allowed."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        flaws = "; ".join(_flaw(model, flaw["loc"], flaw["type"], flaw["msg"]) for flaw in error.errors())
        raise SourceError(f"a {kind} source cannot be configured like this: {flaws}") from None


def _flaw(model: type[SourceOptions], place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = str(place[0]) if place else "options"
    if kind == "extra_forbidden":
        return f"there is no option {name!r}; allowed are {', '.join(sorted(model.model_fields))}"
    if kind == "missing":
        return f"option {name!r} is required"
    return f"option {name!r}: {message.removeprefix('Value error, ')}"
