"""Adding a source: its address made absolute, looked at, prepared for capture, then recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from cli.errors import WrongUse
from cli.opening import mirrors
from cli.overview import SourceOverview, source_overview
from cli.source_traces import may_be_removed
from pipelines.sources.kinds import dispose_source, prepare_source, settled_options
from pipelines.sources.source import Probe
from registry import contracts, owners, sources, tenants
from registry.clock import utc_now
from registry.crash_points import crash_point
from registry.database import Registry
from registry.settings import Settings

SCHEMES_OF_FILES = ("sqlite:///", "file://")


@dataclass(frozen=True, slots=True)
class NewSource:
    """What `source add` was told. `tenant` is None for a source that a tenant column shares."""

    name: str
    tenant: str | None
    kind: str
    uri: str
    owner: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AddedSource:
    """A source just recorded, and what the look at it said."""

    source: SourceOverview
    probe: Probe
    warnings: list[str]


def add_source(registry: Registry, settings: Settings, wanted: NewSource) -> AddedSource:
    """Look, prepare, record. Raises WrongUse, NotFound, AlreadyExists, SourceError."""
    _refuse_unclear_tenant(wanted)
    given = owners.checked(wanted.owner) if wanted.owner else ""
    with registry.read() as session:
        tenant = tenants.find(session, wanted.tenant) if wanted.tenant else None
        owner = given or (contracts.current(session, tenant.id).owner if tenant else "")
        _refuse_taken_slot(session, wanted)
    uri = absolute(wanted.kind, wanted.uri)
    options = settled_options(wanted.kind, wanted.name, wanted.options)
    probe = prepare_source(wanted.kind, uri, options, utc_now, mirrors(settings))
    crash_point("source:prepared")
    undone = undone_at_the_source(registry, settings, wanted.kind, uri, options)
    with undone, registry.write() as session:
        source = sources.add(
            session,
            name=wanted.name,
            tenant_id=tenant.id if tenant else None,
            kind=wanted.kind,
            uri=uri,
            owner=owner,
            options=options,
            consistency=str(probe.consistency),
            now=utc_now(),
        )
    warnings = [] if owner else [_no_owner(wanted)]
    return AddedSource(source_overview(source, tenant.name if tenant else None), probe, warnings)


@contextmanager
def undone_at_the_source(
    registry: Registry, settings: Settings, kind: str, uri: str, options: Mapping[str, str]
) -> Iterator[None]:
    """What was prepared at a source that is not recorded then is removed there again, unless another one needs it."""
    try:
        yield
    except BaseException:
        if may_be_removed(registry, kind, uri, options):
            dispose_source(kind, uri, options, utc_now, mirrors(settings))
        raise


def _refuse_taken_slot(session: Session, wanted: NewSource) -> None:
    # Each would take the other's changes for its own. Before its first capture a slot cannot be seen at the server.
    taken = {source.options.get("slot"): source.name for source in sources.present(session)}
    if (slot := wanted.options.get("slot")) and slot in taken:
        raise WrongUse(
            f"replication slot {slot} is that of source {taken[slot]}: give another --option slot=…"
        )


def _no_owner(wanted: NewSource) -> str:
    remedy = "give --owner" + (
        f", or `holdfast contract set --tenant {wanted.tenant} owner=…`" if wanted.tenant else ""
    )
    return f"source {wanted.name} has no owner, so nobody is told when it fails: {remedy}"


def _refuse_unclear_tenant(wanted: NewSource) -> None:
    shared = "tenant_column" in wanted.options
    if shared and wanted.tenant:
        raise WrongUse("a source with tenant_column feeds the tenants that its rows name: leave --tenant out")
    if not shared and not wanted.tenant:
        raise WrongUse(
            "say whose source this is with --tenant (or give --option tenant_column=… for a shared one)"
        )


def absolute(kind: str, uri: str) -> str:
    """The address from wherever a later process runs: relative paths are taken from the current folder."""
    for scheme in SCHEMES_OF_FILES:
        if uri.startswith(scheme):
            path = Path(uri.removeprefix(scheme))
            return uri if path.is_absolute() else f"{scheme}{path.absolute()}"
    path = Path(uri).expanduser()
    is_path = path.exists() if kind == "git" else "://" not in uri
    return str(path.absolute()) if uri and is_path else uri
