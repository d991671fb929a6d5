"""Changing a source's options, once it could be read with the new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cli.errors import WrongUse
from cli.opening import mirrors
from pipelines.sources.kinds import open_source
from pipelines.sources.source import Probe
from registry import sources
from registry.clock import utc_now
from registry.database import Registry
from registry.schema import Source
from registry.settings import Settings

# What a kind that follows its own log can change without reading everything anew; postgres notices, and does.
ANYWHERE = {"quiescence", "max_staleness", "sweep_interval"}
NEVER = {"slot", "publication"}


@dataclass(frozen=True, slots=True)
class ChangedSource:
    """A source with its options as they are now, and what the look with them said."""

    options: dict[str, str]
    probe: Probe


def change_source(
    registry: Registry, settings: Settings, source: Source, changes: Mapping[str, str]
) -> ChangedSource:
    """Look with the new options, then record them; an empty value takes an option away.

    Raises WrongUse, SourceError.
    """
    options = {**source.options, **changes}
    options = {name: value for name, value in options.items() if value != ""}
    _refuse(source, options)
    probe = open_source(source.kind, source.uri, options, utc_now, mirrors(settings)).probe()
    with registry.write() as session:
        sources.change_options(session, source, options)
    return ChangedSource(options, probe)


def _refuse(source: Source, options: Mapping[str, str]) -> None:
    names = set(source.options) | set(options)
    changed = {name for name in names if source.options.get(name) != options.get(name)}
    fixed = changed & NEVER if source.kind == "postgres" else changed - ANYWHERE
    if fixed:
        raise WrongUse(
            f"{', '.join(sorted(fixed))} of a {source.kind} source cannot be changed: "
            "remove the source and add it again"
        )
    if ("tenant_column" in source.options) != ("tenant_column" in options):
        raise WrongUse("a source stays one tenant's own or shared: remove it and add it again")
