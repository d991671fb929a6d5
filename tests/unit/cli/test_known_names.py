"""Names that nobody declared are refused or warned of, with the nearest that there is."""

from __future__ import annotations

import json

import pytest

from cli.known_names import LISTED, unknown
from gateway_client.catalogue import SHIPPED
from tests.support.command_line import HereCommand


def refused(holdfast: HereCommand, *words: str) -> str:
    ended = holdfast(*words, "--json")
    assert ended.status == 2, ended.stdout
    return str(ended.error["message"])


def test_a_typo_is_told_with_what_was_meant() -> None:
    assert unknown("pool", "antropic", ["anthropic", "openai"]) == (
        "there is no pool 'antropic': did you mean 'anthropic'? There are: anthropic, openai"
    )
    assert unknown("pool", "zzz", ["a", "b"]) == "there is no pool 'zzz'. There are: a, b"
    assert unknown("pool", "zzz", []) == "there is no pool 'zzz'. There are: none"
    many = [f"name{n:02}" for n in range(LISTED + 5)]
    assert unknown("pool", "nam16", many) == "there is no pool 'nam16': did you mean 'name16'?"
    assert unknown("pool", "zzz", many).endswith("name11 and 5 more")


def test_a_pool_that_nobody_declared_is_refused_and_not_made(holdfast: HereCommand) -> None:
    said = refused(holdfast, "pool", "set", "antropic-haiku", "--window", "5")
    assert "did you mean 'anthropic-haiku'?" in said
    assert "openai-gpt-5" in said
    assert "did you mean" in refused(holdfast, "pool", "show", "antropic-haiku")
    assert "antropic-haiku" not in {row["pool"] for row in holdfast("pool", "show", "--json").document}


def test_a_pool_keeps_what_the_catalogue_says_and_was_not_named(
    holdfast: HereCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing has declared it in this ledger yet."""
    catalogue = holdfast.home / "models.toml"
    name = "[pools.anthropic-haiku]"
    catalogue.write_text(SHIPPED.read_text().replace(name, f"{name}\nheadroom = 3\nwindow = 30"))
    monkeypatch.setenv("HOLDFAST_GATEWAY_CATALOGUE", str(catalogue))
    wanted = holdfast("pool", "set", "anthropic-haiku", "--queue-batch", "7", "--json").document
    assert (wanted["max_window"], wanted["headroom"], wanted["queue_batch"]) == (30, 3, 7)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window", "4", "--headroom", "9"], "headroom 9 leaves batch nothing of a window of 4"),
        (["--batch-max-wait", "0"], "batch_max_wait: must be greater than 0"),
    ],
)
def test_a_pool_that_cannot_be_is_told_in_one_plain_line(
    holdfast: HereCommand, words: list[str], said: str
) -> None:
    message = refused(holdfast, "pool", "set", "anthropic-haiku", *words)
    assert message == f"pool 'anthropic-haiku' cannot be so: {said}"


@pytest.mark.parametrize(
    ("kind", "typo", "meant"),
    [("lane", "btch", "batch"), ("model", "answer-defalt", "answer-default")],
)
def test_a_pause_of_a_lane_or_model_that_is_not_there_is_refused(
    holdfast: HereCommand, kind: str, typo: str, meant: str
) -> None:
    assert f"did you mean {meant!r}?" in refused(holdfast, "pause", "add", kind, typo)
    assert holdfast("pause", "list", "--json").document == []
    assert holdfast("pause", "add", kind, meant).status == 0
    assert holdfast("pause", "remove", kind, typo, "--json").document["lifted"] is False


def test_a_pause_that_no_call_could_bear_is_refused(holdfast: HereCommand) -> None:
    for kind in ("tenant", "feature"):
        assert "without spaces" in refused(holdfast, "pause", "add", kind, "two words")


def test_of_a_tenant_that_the_registry_does_not_know_it_warns(acme: HereCommand) -> None:
    ended = acme("pause", "add", "tenant", "acmee", "--json")
    assert ended.status == 0
    assert ended.document["paused"] is True
    assert "warning: there is no tenant 'acmee': did you mean 'acme'?" in ended.stderr
    tenant = acme("tenant", "show", "acme", "--json").document["id"]
    for name in ("acme", tenant):
        assert acme("pause", "add", "tenant", name).stderr == ""
    assert acme("pause", "add", "feature", "whatever").stderr == ""


def test_a_gateway_without_a_registry_takes_any_tenant(holdfast: HereCommand) -> None:
    (holdfast.home / "registry.sqlite3").unlink()
    ended = holdfast("pause", "add", "tenant", "acme")
    assert (ended.status, ended.stderr) == (0, "")
    assert not (holdfast.home / "registry.sqlite3").exists()


def test_a_budget_for_what_is_not_there_is_refused_too(acme: HereCommand) -> None:
    for scope, meant in (
        ("tenant=acme,lane=btch", "batch"),
        ("model=answer-defalt", "answer-default"),
        ("pool=antropic-haiku", "anthropic-haiku"),
    ):
        assert f"did you mean {meant!r}?" in refused(acme, "budget", "set", scope, "5")
    assert acme("budget", "show", "--json").document == []
    assert "no tenant 'acmee'" in acme("budget", "set", "tenant=acmee,lane=batch", "5").stderr
    for scope in ("tenant=*", "model=*", "pool=*", "tenant=acme,run=*", "pool=anthropic-haiku"):
        ended = acme("budget", "set", scope, "5")
        assert (ended.status, ended.stderr) == (0, ""), scope


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("recal_floor=0.5", "recall_floor"),
        ("budgets.bach.tokens=5", "budgets.batch"),
        ("budgets.batch.token=5", "budgets.batch.tokens"),
    ],
)
def test_a_contract_has_no_other_values(acme: HereCommand, typo: str, meant: str) -> None:
    ended = acme("contract", "set", "--tenant", "acme", typo, "--json")
    assert (ended.status, ended.error["code"]) == (2, "invalid_contract")
    assert f"did you mean {meant!r}?" in ended.error["message"]
    assert "Extra inputs" not in ended.stdout
    assert acme("contract", "show", "--tenant", "acme", "--json").document["version"] == 1


def test_a_whole_contract_that_was_shown_can_be_set(acme: HereCommand) -> None:
    shown = acme("contract", "show", "--tenant", "acme", "--json").document
    file = acme.home / "contract.json"
    file.write_text(json.dumps({**shown, "k": 5}))
    changed = acme("contract", "set", "--tenant", "acme", "--file", str(file), "--json")
    assert (changed.status, changed.document["k"]) == (0, 5)
