"""Tenants, keys, contracts: what the commands do, print and refuse, in both languages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from registry import keys, leases, publication, tenants
from registry.database import Registry
from registry.errors import KeyRejected
from tests.support.command_line import HereCommand


@pytest.fixture
def registry(acme: HereCommand) -> Registry:
    return Registry(f"sqlite:///{acme.home / 'registry.sqlite3'}")


def test_nothing_works_before_init_and_nothing_is_made(holdfast: HereCommand) -> None:
    (holdfast.home / "registry.sqlite3").unlink()
    holdfast.home.rmdir()
    for arguments in (["tenant", "list"], ["doctor"], ["search", "x", "-t", "acme"], ["capture", "--once"]):
        ended = holdfast(*arguments, "--json")
        assert ended.status == 2
        assert ended.error["code"] == "schema_outdated"
        assert "holdfast init" in ended.error["message"]
    assert not holdfast.home.exists()


def test_init_can_be_repeated(holdfast: HereCommand) -> None:
    first, second = holdfast("init", "--json"), holdfast("init", "--json")
    assert first.status == second.status == 0
    assert first.document["home"] == str(holdfast.home)
    assert second.document["model"] == first.document["model"] != ""
    written = (holdfast.home / "dagster" / "dagster.yaml").read_text()
    assert "telemetry:\n  enabled: false" in written
    (holdfast.home / "dagster" / "dagster.yaml").write_text("# mine\n")
    holdfast("init")
    assert (holdfast.home / "dagster" / "dagster.yaml").read_text() == "# mine\n"


def test_a_tenant_from_birth_to_suspension(holdfast: HereCommand) -> None:
    made = holdfast("tenant", "create", "acme", "--owner", "o@acme.example", "--json")
    assert made.status == 0
    assert made.document["tenant"] == "acme"
    assert made.document["id"].startswith("acme-")
    (listed,) = holdfast("tenant", "list", "--json").document
    shown = holdfast("tenant", "show", made.document["id"], "--json").document
    assert listed == shown
    assert (shown["owner"], shown["status"], shown["live_generation"]) == ("o@acme.example", "active", None)

    assert holdfast("tenant", "suspend", "acme", "--json").document["status"] == "suspended"
    refused = holdfast("ingest", "--tenant", "acme", "--json")
    assert (refused.status, refused.error["code"]) == (1, "tenant_suspended")
    assert holdfast("tenant", "suspend", "acme", "--resume", "--json").document["status"] == "active"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["tenant", "create", "acme"], "already_exists"),
        (["tenant", "create", "No Name"], "registry_error"),
        (["tenant", "show", "nobody"], "not_found"),
        (["tenant", "erase", "nobody", "--yes"], "not_found"),
        (["tenant", "create"], "wrong_use"),
        (["tenant", "levitate"], "wrong_use"),
        (["levitate"], "wrong_use"),
        (["key", "create"], "wrong_use"),
        (["key", "create", "--tenant", "acme", "--role", "king"], "wrong_use"),
        (["key", "create", "--tenant", "acme", "--expires-in", "-1"], "wrong_use"),
        (["key", "revoke", "nokey", "--tenant", "acme"], "not_found"),
        (["key", "list", "--tenant", "nobody"], "not_found"),
        (["contract", "set", "--tenant", "acme", "k=0"], "invalid_contract"),
        (["contract", "set", "--tenant", "acme", "kk=1"], "invalid_contract"),
        (["contract", "set", "--tenant", "acme", "k"], "wrong_use"),
        (["contract", "set", "--tenant", "acme", "--file", "nowhere.json"], "wrong_use"),
        (["source", "add", "s", "--kind", "git", "--uri", "x"], "wrong_use"),
        (["source", "add", "s", "--kind", "ftp", "--uri", "x", "--tenant", "acme"], "source_error"),
        (["source", "add", "s", "--kind", "folder", "--uri", ".", "-t", "acme", "-o", "a=1"], "source_error"),
        (["source", "test", "nothing"], "not_found"),
        (["source", "remove", "nothing", "--tenant", "acme"], "not_found"),
        (["deletion", "confirm", "--tenant", "acme", "abcdef"], "not_found"),
        (["document", "show", "a.md", "--tenant", "nobody"], "not_found"),
        (["document", "history", "a.md", "--tenant", "acme"], "not_found"),
        (["search", " ", "--tenant", "acme"], "invalid_request"),
        (["search", "x", "--tenant", "acme", "--k", "0"], "invalid_request"),
        (["search", "x", "--tenant", "acme", "--mode", "psychic"], "wrong_use"),
        (["canary", "import", "nowhere.jsonl", "--tenant", "acme"], "invalid_canary"),
        (["ingest", "--tenant", "nobody"], "not_found"),
        (["ingest", "--tenant", "acme", "--sideways"], "wrong_use"),
        (["evaluate", "--tenant", "acme", "--queries", "no", "--qrels", "no"], "invalid_judgements"),
        (["serve", "--port", "99999"], "wrong_use"),
    ],
)
def test_wrong_use_is_status_two_and_one_error(acme: HereCommand, arguments: list[str], code: str) -> None:
    told = acme(*arguments, "--json")
    assert (told.status, told.error["code"]) == (2, code)
    assert told.error["message"]
    plain = acme(*arguments)
    assert plain.status == 2
    assert plain.stdout == ""
    (line,) = plain.stderr.strip().splitlines()
    assert line == f"error: {told.error['message']}"


def test_refusals_are_status_one(acme: HereCommand) -> None:
    for arguments, code in (
        (["search", "x", "--tenant", "acme"], "nothing_published"),
        (["document", "show", "a.md", "--tenant", "acme"], "nothing_published"),
        (["rollback", "--tenant", "acme"], "rollback_refused"),
        (["source", "add", "s", "--kind", "folder", "--uri", "nowhere", "-t", "acme"], "source_unavailable"),
    ):
        ended = acme(*arguments, "--json")
        assert (ended.status, ended.error["code"]) == (1, code), arguments


def test_what_is_empty_is_an_empty_list(acme: HereCommand) -> None:
    for arguments in (
        ["key", "list"], ["document", "list"], ["deletion", "list"], ["deletion", "confirm"],
        ["deletion", "reject"], ["generations"], ["canary", "list"], ["source", "list"],
    ):  # fmt: skip
        ended = acme(*arguments, "--tenant", "acme", "--json")
        assert (ended.status, ended.document) == (0, []), arguments
        assert acme(*arguments, "--tenant", "acme").status == 0


def test_a_key_is_shown_once_and_works_until_revoked(acme: HereCommand, registry: Registry) -> None:
    made = acme(
        "key", "create", "--tenant", "acme", "--role", "search", "--expires-in", "2", "--json"
    ).document
    assert set(made) == {"key", "id", "role", "tenant", "expires_at"}
    assert (made["tenant"], made["role"]) == ("acme", "search")
    now = datetime.now(UTC)
    left = datetime.fromisoformat(made["expires_at"]) - now
    assert timedelta(days=1.9) < left <= timedelta(days=2)
    secret = made["key"].rpartition("_")[2]
    with registry.read() as session:
        assert keys.authenticate(session, made["key"], now).name == "acme"
        with pytest.raises(KeyRejected):
            keys.authenticate(session, made["key"], now + timedelta(days=2))

    (listed,) = acme("key", "list", "--tenant", "acme", "--json").document
    assert (listed["id"], listed["state"]) == (made["id"], "active")
    for arguments in (
        ["key", "list", "-t", "acme"],
        ["tenant", "show", "acme"],
        ["key", "list", "-t", "acme", "--json"],
    ):
        assert secret not in acme(*arguments).stdout
    assert secret.encode() not in (acme.home / "registry.sqlite3").read_bytes()

    revoked = acme("key", "revoke", made["key"], "--tenant", "acme", "--json").document
    assert (revoked["id"], revoked["state"]) == (made["id"], "revoked")
    assert secret not in str(revoked)
    with registry.read() as session, pytest.raises(KeyRejected, match="revoked"):
        keys.authenticate(session, made["key"], now)


def test_a_key_of_another_tenant_cannot_be_revoked(acme: HereCommand) -> None:
    acme("tenant", "create", "other")
    key = acme("key", "create", "--tenant", "acme", "--json").document
    assert acme("key", "revoke", key["id"], "--tenant", "other").status == 2
    assert acme("key", "list", "--tenant", "acme", "--json").document[0]["state"] == "active"


def test_a_key_for_people_is_the_only_thing_on_stdout(acme: HereCommand) -> None:
    ended = acme("key", "create", "--tenant", "acme")
    assert ended.stdout.startswith("hf_")
    assert len(ended.stdout.split()) == 1
    assert "keep it now" in ended.stderr


def test_a_contract_is_changed_value_by_value_and_by_file(acme: HereCommand) -> None:
    before = acme("contract", "show", "--tenant", "acme", "--json").document
    after = acme(
        "contract", "set", "--tenant", "acme", "k=5", "on_floor_unmet=refuse", "budgets.batch.tokens=100",
        "alert_webhook=https://hooks.example/x", "--json",
    ).document  # fmt: skip
    assert after["version"] == before["version"] + 1
    assert after["hash"] != before["hash"]
    changed = {name for name in after if after[name] != before[name]} - {"version", "hash"}
    assert changed == {"k", "on_floor_unmet", "budgets", "alert_webhook"}
    assert after["budgets"]["batch"]["tokens"] == 100
    # Inside values are reached one by one: what was set before stays.
    again = acme("contract", "set", "--tenant", "acme", "budgets.interactive.tokens=7", "--json").document
    assert {lane: budget["tokens"] for lane, budget in again["budgets"].items()} == {
        "batch": 100,
        "interactive": 7,
    }

    path = acme.home / "contract.json"
    path.write_text(acme("contract", "show", "--tenant", "acme", "--json").stdout)
    unchanged = acme("contract", "set", "--tenant", "acme", "--file", str(path), "--json").document
    assert unchanged == again


def test_a_contract_that_does_not_fit_changes_nothing(acme: HereCommand) -> None:
    before = acme("contract", "show", "--tenant", "acme", "--json").document
    ended = acme("contract", "set", "--tenant", "acme", "k=5", "recall_floor=1.5", "--json")
    assert ended.status == 2
    assert "recall_floor" in ended.error["message"]
    assert acme("contract", "show", "--tenant", "acme", "--json").document == before


def test_erasing_asks_for_the_name(acme: HereCommand) -> None:
    for typed in ("acm\n", "\n", ""):
        ended = acme("tenant", "erase", "acme", "--json", typed=typed)
        assert (ended.status, ended.error["code"]) == (1, "aborted")
    assert acme("tenant", "show", "acme").status == 0
    erased = acme("tenant", "erase", "acme", "--json", typed="acme\n")
    assert erased.status == 0
    assert (erased.document["tenant"], erased.document["status"]) == ("acme", "erased")
    assert acme("tenant", "show", "acme").status == 2
    assert acme("tenant", "list", "--json").document == []


def test_erasing_removes_index_and_mirrors_but_not_those_of_others(
    acme: HereCommand, registry: Registry
) -> None:
    import hashlib

    from registry import sources

    identifier = acme("tenant", "show", "acme", "--json").document["id"]
    other = acme("tenant", "create", "other", "--json").document["id"]
    with registry.write() as session:
        for name, owner, uri in (("a", identifier, "own"), ("b", identifier, "both"), ("b", other, "both")):
            sources.add(
                session, name=name, tenant_id=owner, kind="git", uri=f"https://git.example/{uri}", owner="",
                options={}, consistency="transactional", now=datetime.now(UTC),
            )  # fmt: skip
    own, both = (
        acme.home
        / "mirrors"
        / f"{hashlib.sha256(f'https://git.example/{uri}'.encode()).hexdigest()[:32]}.git"
        for uri in ("own", "both")
    )
    folders = [acme.home / "index" / name / "1" for name in (identifier, other)]
    for folder in (own, both, *folders):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
        (folder / "lock").write_text("")

    assert acme("tenant", "erase", "acme", "--yes").status == 0
    assert not own.exists()
    assert not (acme.home / "index" / identifier).exists()
    assert both.exists()
    assert folders[1].exists()


def test_the_id_of_an_erased_tenant_does_not_come_back(acme: HereCommand) -> None:
    first = acme("tenant", "show", "acme", "--json").document["id"]
    acme("tenant", "erase", "acme", "--yes")
    second = acme("tenant", "create", "acme", "--json").document["id"]
    assert second != first
    assert acme("tenant", "show", first).status == 2


def test_a_hold_is_released_once(acme: HereCommand, registry: Registry) -> None:
    assert acme("resume", "--tenant", "acme", "--json").document["released"] is False
    with registry.write() as session:
        tenants.find(session, "acme").held_at = datetime.now(UTC)
    doctor = acme("doctor", "--json")
    assert doctor.status == 1
    assert [f["check"] for f in doctor.document["findings"] if f["colour"] == "red"] == ["ingestion"]
    assert acme("resume", "--tenant", "acme", "--json").document["released"] is True
    with registry.read() as session:
        moves = publication.moves(session, tenants.find(session, "acme").id)
    assert [move.kind for move in moves] == ["resume"]


def test_an_ingest_is_refused_while_another_runs(acme: HereCommand, registry: Registry) -> None:
    now = datetime.now(UTC)
    with registry.write() as session:
        name = leases.ingest_lease(tenants.find(session, "acme").id)
        leases.acquire(session, name, leases.Holder.current("another run"), 60, now)
    ended = acme("ingest", "--tenant", "acme", "--json")
    assert (ended.status, ended.error["code"]) == (1, "ingest_busy")
    assert "another ingest of tenant acme is running" in ended.error["message"]


def test_what_nobody_expected_is_told_and_logged(acme: HereCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("registry.tenants.present", broken)
    ended = acme("tenant", "list", "--json")
    assert (ended.status, ended.error["code"]) == (1, "internal_error")
    assert "ZeroDivisionError" in ended.error["message"]
    assert "Traceback" in ended.stderr
