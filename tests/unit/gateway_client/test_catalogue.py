"""The catalogue: what is refused, what is found, what a call costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.catalogue import Catalogue, Prices
from gateway_client.errors import (
    InvalidCatalogue,
    KeyMissing,
    ModelNotApproved,
    ModelRetired,
    UnknownModel,
    VersionMismatch,
)
from gateway_client.messages import Usage
from gateway_client.model import Capability
from gateway_client.simulator.running import SIMULATED

SOUND: dict[str, Any] = {
    "providers": {
        "acme": {"format": "openai", "base_url": "https://llm.acme.test/v1", "api_key_env": "ACME_KEY"},
        "claude": {"format": "anthropic", "base_url": "https://claude.test/v1"},
    },
    "pools": {"shared": {"window": 8, "headroom": 2}},
    "models": {
        "answer": {
            "provider": "acme",
            "version": "acme-1-2026-01-01",
            "context_window": 1000,
            "max_output": 200,
            "approved": ["prod", "staging"],
            "pool": "shared",
            "fallbacks": ["second", "third"],
            "prices": {"input": 2_000_000, "output": 8_000_000},
        },
        "second": {
            "provider": "claude",
            "version": "claude-sonnet-5",
            "context_window": 5000,
            "max_output": 200,
            "approved": ["staging"],
            "prices": {"input": 3, "output": 15, "cache_read": 1, "cache_write": 4},
        },
        "third": {
            "provider": "acme",
            "version": "acme-2-2026-01-01",
            "context_window": 1000,
            "max_output": 200,
            "approved": ["prod", "canary", "staging"],
            "retires": date(2026, 6, 1),
            "prices": {"input": 0, "output": 0},
        },
    },
}
TODAY = date(2026, 5, 1)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    document = copy.deepcopy(SOUND)
    change(document)
    return document


def refusal(change: Callable[[dict[str, Any]], object]) -> str:
    with pytest.raises(InvalidCatalogue) as caught:
        Catalogue.of(changed(change))
    return str(caught.value)


def answer(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["models"]["answer"].update(fields)


def acme(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["providers"]["acme"].update(fields)


def test_a_sound_catalogue() -> None:
    catalogue = Catalogue.of(SOUND)
    found = catalogue.model("answer", "prod", TODAY)
    assert (found.version, found.provider, found.pool) == ("acme-1-2026-01-01", "acme", "shared")
    assert found.prices == Prices(2_000_000, 8_000_000, 2_000_000, 2_000_000)
    assert catalogue.pools["shared"].window == 8
    assert catalogue.find("second").pool == "second"


@pytest.mark.parametrize("path", [None, SIMULATED])
def test_the_catalogues_that_ship_are_sound(path: Path | None) -> None:
    catalogue = Catalogue.load(path)
    assert catalogue.models
    for spec in catalogue.models.values():
        assert spec.pool in catalogue.pools
        assert spec.base_url.startswith(("https://", "http://127.0.0.1"))


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("acme-1-latest", "newest"),
        ("gpt-4o", "names with a date exist"),
        ("claude-haiku-4-5", "names with a date exist"),
        ("acme-2", "'acme-2-2026-01-01' exists"),
    ],
)
def test_a_floating_alias_is_refused(version: str, told: str) -> None:
    message = refusal(answer(version=version))
    assert "'answer'" in message
    assert "floating alias" in message
    assert told in message


@pytest.mark.parametrize("prices", [None, {}, {"input": 1}, {"output": 1}])
def test_an_unpriced_model_is_refused(prices: dict[str, int] | None) -> None:
    assert "'answer' has no price" in refusal(answer(prices=prices))


def test_an_unpriced_cache_is_refused_where_the_provider_charges_for_it() -> None:
    def unpriced(document: dict[str, Any]) -> None:
        document["models"]["second"]["prices"] = {"input": 3, "output": 15}

    assert "price cache_read, cache_write" in refusal(unpriced)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (answer(provider="nobody"), "no [providers.nobody]"),
        (answer(pool="nowhere"), "no [pools.nowhere]"),
        (answer(fallbacks=["nobody"]), "'nobody' is no other model"),
        (answer(fallbacks=["answer"]), "'answer' is no other model"),
        (answer(approved=[]), "models.answer.approved"),
        (answer(approved=["production"]), "models.answer.approved"),
        (answer(context_window=0), "models.answer.context_window"),
        (answer(context_window="1000"), "models.answer.context_window"),
        (answer(max_output=2000), "max_output"),
        (answer(max_ouput=20), "models.answer.max_ouput"),
        (answer(capabilities=["streaming"]), "exactly one of chat and embeddings"),
        (answer(capabilities=["chat", "embeddings"]), "exactly one of chat and embeddings"),
        (answer(prices={"input": 1.5, "output": 2}), "models.answer.prices.input"),
        (answer(prices={"input": -1, "output": 2}), "models.answer.prices.input"),
        (answer(version="two words"), "models.answer.version"),
        (acme(format="grpc"), "providers.acme.format"),
        (acme(base_url="http://llm.acme.test/v1"), "not https"),
        (acme(base_url="https://user:pass@llm.acme.test/v1"), "keys come from the environment"),
        (acme(base_url="https://llm.acme.test/v1?key=1"), "keys come from the environment"),
        (acme(base_url="ftp://llm.acme.test"), "providers.acme"),
        (acme(api_key_env="sk-123"), "providers.acme.api_key_env"),
        (acme(api_key="sk-123"), "providers.acme.api_key"),
        (lambda document: document.update(extra=1), "extra"),
    ],
)
def test_what_is_wrong_is_refused_by_name(change: Callable[[dict[str, Any]], object], told: str) -> None:
    assert told in refusal(change)


@pytest.mark.parametrize("url", ["http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:8000/v1"])
def test_plain_http_is_for_this_machine_or_said(url: str) -> None:
    assert Catalogue.of(changed(acme(base_url=url)))
    assert Catalogue.of(changed(acme(base_url="http://llm.acme.test/v1", plain_http=True)))


def test_an_embedding_falls_back_only_to_its_own_version() -> None:
    def embedding(document: dict[str, Any], version: str) -> None:
        for name, pinned in (("embed", "e-1"), ("other", version)):
            document["models"][name] = {
                "provider": "acme",
                "version": pinned,
                "context_window": 100,
                "capabilities": ["embeddings"],
                "approved": ["prod"],
                "prices": {"input": 1},
            }
        document["models"]["embed"]["fallbacks"] = ["other"]

    assert "another space" in refusal(lambda document: embedding(document, "e-2"))
    assert Catalogue.of(changed(lambda document: embedding(document, "e-1")))


def test_who_is_found() -> None:
    catalogue = Catalogue.of(SOUND)
    with pytest.raises(UnknownModel, match="no model 'nobody'; it has: answer, second, third"):
        catalogue.model("nobody", "prod", TODAY)
    with pytest.raises(ModelNotApproved, match="approved for staging, not for prod"):
        catalogue.model("second", "prod", TODAY)
    assert catalogue.model("third", "prod", date(2026, 5, 31))
    with pytest.raises(ModelRetired, match="retired on 2026-06-01"):
        catalogue.model("third", "prod", date(2026, 6, 1))


def test_fallbacks_are_those_approved_and_alive_in_their_order() -> None:
    catalogue = Catalogue.of(SOUND)
    assert [spec.name for spec in catalogue.fallbacks("answer", "staging", TODAY)] == ["second", "third"]
    assert [spec.name for spec in catalogue.fallbacks("answer", "prod", TODAY)] == ["third"]
    assert catalogue.fallbacks("answer", "prod", date(2026, 7, 1)) == []


def test_the_reported_version_is_checked() -> None:
    spec = Catalogue.of(changed(answer(reports=["acme-1-eu"]))).find("answer")
    spec.verify("acme-1-2026-01-01")
    spec.verify("acme-1-eu")
    for other in ("acme-1-2026-02-02", "acme-1", "", None):
        with pytest.raises(VersionMismatch, match="pinned is 'acme-1-2026-01-01'"):
            spec.verify(other)


def test_keys_come_from_the_environment() -> None:
    catalogue = Catalogue.of(SOUND)
    assert catalogue.find("answer").key({"ACME_KEY": " k \n"}) == "k"
    assert catalogue.find("second").key({}) == ""
    for empty in ({}, {"ACME_KEY": "  "}):
        with pytest.raises(KeyMissing, match="set ACME_KEY"):
            catalogue.find("answer").key(empty)


def test_files(tmp_path: Path) -> None:
    provider = '[providers.a]\nformat = "openai"\nbase_url = "https://a.test/v1"\n'
    model = (
        '[models.m]\nprovider = "a"\nversion = "m-1"\ncontext_window = 10\nmax_output = 5\napproved = ["prod"]\n'
        "prices = { input = 1, output = 1 }\n"
    )
    (tmp_path / "1.toml").write_text(provider)
    (tmp_path / "2.toml").write_text(model)
    assert Catalogue.load(tmp_path).find("m").version == "m-1"
    (tmp_path / "3.toml").write_text(model)
    with pytest.raises(InvalidCatalogue, match=r"3\.toml: models\.m is defined in another file"):
        Catalogue.load(tmp_path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InvalidCatalogue, match=r"no \*\.toml"):
        Catalogue.load(tmp_path)
    with pytest.raises(InvalidCatalogue, match="cannot be read"):
        Catalogue.load(tmp_path / "absent.toml")
    for broken in (b"[models", b"\xff\xfe", b"models = 3\nproviders = 4"):
        (tmp_path / "broken.toml").write_bytes(broken)
        with pytest.raises(InvalidCatalogue, match=r"broken\.toml"):
            Catalogue.load(tmp_path / "broken.toml")


counts = st.integers(0, 10**9)
price = st.integers(0, 10**9)
prices = st.builds(Prices, price, price, price, price)


@given(prices, counts, counts, counts, counts)
def test_a_cost_is_the_exact_sum_rounded_up(
    found: Prices, sent: int, written: int, read: int, stored: int
) -> None:
    exact = Fraction(
        sent * found.input + written * found.output + read * found.cache_read + stored * found.cache_write,
        10**6,
    )
    cost = found.cost(Usage(sent, written, read, stored))
    assert exact <= cost < exact + 1


@given(prices, counts, counts, counts, st.integers(0, 10**6))
def test_no_attempt_within_its_bounds_costs_more_than_the_most(
    found: Prices, sent: int, read: int, stored: int, written: int
) -> None:
    usage = Usage(sent, written, read, stored)
    assert found.cost(usage) <= found.most(usage.prompt, written) <= found.most(usage.prompt + 1, written + 1)


def test_pointed_at_another_address_it_needs_no_keys() -> None:
    moved = Catalogue.of(SOUND).pointed_at("http://127.0.0.1:9/")
    assert moved.find("answer").base_url == "http://127.0.0.1:9/openai"
    assert moved.find("second").base_url == "http://127.0.0.1:9/anthropic"
    assert moved.find("answer").key({}) == ""
    assert moved.find("answer").can(Capability.CHAT)
