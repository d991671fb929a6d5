"""The model catalogue: TOML files that pin every model which may be called, with its price.

`[providers.NAME]` says where and in which wire format, `[pools.NAME]` which capacity models share, `[models.NAME]`
what a name means. The catalogue that ships is `models.toml` beside this file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway_client.catalogue_file import CatalogueFile, ModelEntry, PoolSpec, ProviderEntry
from gateway_client.errors import InvalidCatalogue, ModelNotApproved, ModelRetired, UnknownModel
from gateway_client.model import Capability, Environment, ModelSpec, Prices
from gateway_client.pinning import why_floating

__all__ = ["Capability", "Catalogue", "Environment", "ModelSpec", "PoolSpec", "Prices"]

SHIPPED = Path(__file__).parent / "models.toml"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every model that may be called, and the pools that they share."""

    models: Mapping[str, ModelSpec]
    pools: Mapping[str, PoolSpec]

    @classmethod
    def load(cls, path: Path | str | None = None) -> Catalogue:
        """The catalogue of a TOML file, or of every `*.toml` of a folder; the shipped one for no path.

        Raises InvalidCatalogue, naming the file and the model.
        """
        place = Path(path) if path is not None else SHIPPED
        files = sorted(place.glob("*.toml")) if place.is_dir() else [place]
        if not files:
            raise InvalidCatalogue(f"{place} holds no *.toml: a catalogue needs at least one file")
        return cls.of(_merged(files), str(place))

    @classmethod
    def of(cls, document: Mapping[str, Any], source: str = "the catalogue") -> Catalogue:
        """The catalogue of a parsed document. Raises InvalidCatalogue."""
        try:
            found = CatalogueFile.model_validate(document)
        except ValidationError as invalid:
            raise InvalidCatalogue(f"{source}: {_told(invalid)}") from invalid
        try:
            models = {name: _spec(name, entry, found) for name, entry in found.models.items()}
            _check_fallbacks(models)
        except InvalidCatalogue as invalid:
            raise InvalidCatalogue(f"{source}: {invalid}") from invalid
        return cls(models, found.pools)

    def find(self, name: str) -> ModelSpec:
        """The model of a name, approved or not. Raises UnknownModel."""
        found = self.models.get(name)
        if found is None:
            known = ", ".join(sorted(self.models)) or "none"
            raise UnknownModel(f"the catalogue has no model {name!r}; it has: {known}")
        return found

    def model(self, name: str, environment: Environment | str, today: date | None = None) -> ModelSpec:
        """The model of a name, if it may be called here and now.

        Raises UnknownModel, ModelNotApproved, ModelRetired.
        """
        found, where = self.find(name), Environment(environment)
        if where not in found.approved:
            approved = ", ".join(sorted(found.approved))
            raise ModelNotApproved(f"model {name!r} is approved for {approved}, not for {where}")
        if found.retires and (today or datetime.now(UTC).date()) >= found.retires:
            raise ModelRetired(
                f"model {name!r} ({found.version}) was retired on {found.retires}: pin its successor"
            )
        return found

    def fallbacks(
        self, name: str, environment: Environment | str, today: date | None = None
    ) -> list[ModelSpec]:
        """The models that may answer in its place, in order: those approved here and not retired."""
        found = []
        for other in self.find(name).fallbacks:
            try:
                found.append(self.model(other, environment, today))
            except (ModelNotApproved, ModelRetired):
                continue
        return found

    def pointed_at(self, url: str) -> Catalogue:
        """The same catalogue with every provider at another address (a simulator's), keys not needed."""
        base = url.rstrip("/")
        moved = {
            name: replace(spec, base_url=f"{base}/{spec.format}", api_key_env=None)
            for name, spec in self.models.items()
        }
        return replace(self, models=moved)


def _merged(files: Iterable[Path]) -> dict[str, Any]:
    """The files as one document; a name that two of them define is an error."""
    document: dict[str, Any] = {}
    for file in files:
        for section, entries in _read(file).items():
            known = document.setdefault(section, {})
            if not isinstance(entries, dict) or not isinstance(known, dict):
                raise InvalidCatalogue(f"{file}: {section!r} is not a table; write [{section}.NAME]")
            doubled = sorted(set(known) & set(entries))
            if doubled:
                raise InvalidCatalogue(f"{file}: {section}.{doubled[0]} is defined in another file already")
            known.update(entries)
    return document


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as missing:
        raise InvalidCatalogue(f"{file} cannot be read: {missing.strerror}") from missing
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise InvalidCatalogue(f"{file} is not TOML: {broken}") from broken


def _told(invalid: ValidationError) -> str:
    first = invalid.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    more = invalid.error_count() - 1
    return f"{where}: {first['msg']}" + (f" (and {more} more)" if more else "")


def _spec(name: str, entry: ModelEntry, file: CatalogueFile) -> ModelSpec:
    provider = file.providers.get(entry.provider)
    if provider is None:
        raise InvalidCatalogue(f"model {name!r}: there is no [providers.{entry.provider}]")
    pool = entry.pool or name
    if entry.pool and entry.pool not in file.pools:
        raise InvalidCatalogue(f"model {name!r}: there is no [pools.{entry.pool}]")
    floating = why_floating(entry.version, (other.version for other in file.models.values()))
    if floating:
        raise InvalidCatalogue(
            f"model {name!r}: {entry.version!r} is a floating alias ({floating}); pin the exact version"
        )
    return ModelSpec(
        name=name,
        provider=entry.provider,
        format=provider.format,
        version=entry.version,
        base_url=provider.base_url,
        api_key_env=provider.api_key_env,
        context_window=entry.context_window,
        max_output=entry.max_output,
        prices=_prices(name, entry, provider),
        capabilities=entry.capabilities,
        pool=pool,
        approved=entry.approved,
        fallbacks=entry.fallbacks,
        retires=entry.retires,
        reports=entry.reports,
        max_tokens_field=entry.max_tokens_field,
        tokens_per_byte=entry.tokens_per_byte,
    )


def _prices(name: str, entry: ModelEntry, provider: ProviderEntry) -> Prices:
    """Raises InvalidCatalogue for what has no price: it could be bought without being counted."""
    stated = entry.prices
    embeds = Capability.CHAT not in entry.capabilities
    if stated is None or stated.input is None or (stated.output is None and not embeds):
        raise InvalidCatalogue(
            f"model {name!r} has no price: [models.{name}.prices] needs input and output, "
            "in micro-dollars per million tokens"
        )
    if provider.format == "anthropic" and (stated.cache_read is None or stated.cache_write is None):
        raise InvalidCatalogue(
            f"model {name!r}: {entry.provider} charges for its cache; price cache_read, cache_write"
        )
    return Prices(
        input=stated.input,
        output=stated.output or 0,
        cache_read=stated.input if stated.cache_read is None else stated.cache_read,
        cache_write=stated.input if stated.cache_write is None else stated.cache_write,
    )


def _check_fallbacks(models: Mapping[str, ModelSpec]) -> None:
    for spec in models.values():
        for name in spec.fallbacks:
            other = models.get(name)
            if other is None or name == spec.name:
                raise InvalidCatalogue(f"model {spec.name!r}: its fallback {name!r} is no other model")
            if spec.can(Capability.EMBEDDINGS) and other.version != spec.version:
                raise InvalidCatalogue(
                    f"model {spec.name!r}: {name!r} embeds into another space; only the same version can stand in"
                )
            if spec.can(Capability.CHAT) and not other.can(Capability.CHAT):
                raise InvalidCatalogue(f"model {spec.name!r}: its fallback {name!r} cannot chat")
