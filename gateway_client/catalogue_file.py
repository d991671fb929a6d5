"""What a catalogue's file may hold. An unknown key is an error: a misspelt limit must not be no limit."""

from __future__ import annotations

from datetime import date
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.networks import AnyHttpUrl

from gateway_client.model import Capability, Environment, WireFormat

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")]
Price = Annotated[int, Field(ge=0, le=10**12, strict=True)]
Amount = Annotated[int, Field(ge=1, strict=True)]


class Entry(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProviderEntry(Entry):
    """`[providers.NAME]`: where, in which wire format, and which variable of the environment holds the key."""

    format: WireFormat
    base_url: str
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    plain_http: bool = False

    @model_validator(mode="after")
    def _safe(self) -> ProviderEntry:
        url = AnyHttpUrl(self.base_url)
        if url.username or url.password or url.query or url.fragment:
            raise ValueError("base_url carries a user, a query or a fragment; keys come from the environment")
        if url.scheme != "https" and not (self.plain_http or _loopback(url.host or "")):
            raise ValueError(
                "base_url is not https, so the key would travel open; plain_http = true allows it"
            )
        return self


class PoolSpec(Entry):
    """`[pools.NAME]`: a capacity that models share (organisation x model family).

    `window` is how many calls may be in flight to begin with and `max_window` at most; `headroom` is what
    batch never takes; `batch_minimum` what it always may; `batch_max_wait` seconds; `queue` how many calls
    may wait; the last three are the provider's limits, where they are known beforehand.
    """

    provider: str | None = None
    window: Amount | None = None
    max_window: Amount | None = None
    headroom: Annotated[int, Field(ge=0)] | None = None
    batch_minimum: Annotated[int, Field(ge=0)] | None = None
    batch_max_wait: Annotated[float, Field(gt=0)] | None = None
    queue: Amount | None = None
    requests_per_minute: Amount | None = None
    tokens_per_minute: Amount | None = None
    micro_dollars_per_month: Amount | None = None


class PriceEntry(Entry):
    """`[models.NAME.prices]`: whole micro-dollars per million tokens (2_500_000 is $2.50)."""

    input: Price | None = None
    output: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None


class ModelEntry(Entry):
    """`[models.NAME]`."""

    provider: str
    version: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S+$")]
    context_window: Amount
    max_output: Annotated[int, Field(ge=0, strict=True)] = 0
    prices: PriceEntry | None = None
    capabilities: frozenset[Capability] = frozenset({Capability.CHAT, Capability.STREAMING})
    approved: Annotated[frozenset[Environment], Field(min_length=1)]
    pool: str | None = None
    fallbacks: tuple[str, ...] = ()
    retires: date | None = None
    reports: tuple[str, ...] = ()
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    tokens_per_byte: Annotated[float, Field(gt=0, le=4)] = 1.0

    @model_validator(mode="after")
    def _whole(self) -> ModelEntry:
        kinds = self.capabilities & {Capability.CHAT, Capability.EMBEDDINGS}
        if len(kinds) != 1:
            raise ValueError("capabilities name exactly one of chat and embeddings")
        if Capability.CHAT in kinds and not 1 <= self.max_output <= self.context_window:
            raise ValueError("max_output of a chat model lies between 1 and its context_window")
        return self


class CatalogueFile(Entry):
    """The whole file."""

    providers: dict[Name, ProviderEntry] = {}
    pools: dict[Name, PoolSpec] = {}
    models: dict[Name, ModelEntry] = {}


def _loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
