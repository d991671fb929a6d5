"""What changes a published tenant: a refused candidate, held deletions, rollback, erasure."""

from __future__ import annotations

from tests.support.acme_home import Home, write_canaries


def test_a_candidate_below_the_floor_is_refused_and_the_live_one_stays(changeable: Home) -> None:
    wrong = write_canaries(changeable.path / "wrong.jsonl", {"ballast tanks to dive": "orchid.md"})
    assert (
        changeable("canary", "import", str(wrong), "-t", "acme", "--replace", "--json").document["canaries"]
        == 1
    )
    changeable("contract", "set", "--tenant", "acme", "k=1", "alert_webhook=null")
    (changeable.folder / "tax.md").write_text("# Tax\n\nThe declaration is due on the last day of May.\n")

    ended = changeable("ingest", "--tenant", "acme", "--json")
    assert ended.status == 1
    found = ended.document
    assert (found["status"], found["generation"]) == ("rejected", 2)
    assert (found["documents"]["changed"], found["embedded"]) == (1, 1)
    assert [c["name"] for c in found["checks"] if c["blocking"] and not c["passed"]] == ["canary_recall"]
    assert "canary_recall" in found["reason"]
    assert "candidate_rejected" in ended.stderr

    listed = changeable("generations", "--tenant", "acme", "--json").document
    assert [(g["generation"], g["status"]) for g in listed] == [(2, "rejected"), (1, "live")]
    text = changeable("document", "show", "tax.md", "--tenant", "acme", "--json").document["text"]
    assert "July" in text
    again = changeable("ingest", "--tenant", "acme")
    assert again.status == 1
    assert "rejected" in again.stdout
    assert "canary_recall" in again.stdout


def test_mass_deletions_wait_for_a_person(changeable: Home) -> None:
    gone = ["bread.md", "chess.md", "orchid.md", "tax.md"]
    for name in gone:
        (changeable.folder / name).unlink()
    ended = changeable("ingest", "--tenant", "acme", "--json")
    assert (ended.status, ended.document["status"]) == (1, "held")
    (held,) = changeable("deletion", "list", "--tenant", "acme", "--json").document
    assert (held["source"], held["deletes"], held["documents"]) == ("docs", 4, gone)
    assert ended.document["held"] == {"docs": [held["position"]]}
    assert states(changeable) == {"live"}
    assert changeable("doctor").status == 1

    refused = changeable("deletion", "confirm", "--tenant", "acme", "0-ffffffff", "--json")
    assert (refused.status, refused.error["code"]) == (2, "not_found")
    (confirmed,) = changeable(
        "deletion", "confirm", "--tenant", "acme", held["position"], "--by", "ann", "--json"
    ).document
    assert (confirmed["decision"], confirmed["by"]) == ("confirmed", "ann")
    hidden = {d["document"] for d in listed(changeable) if d["state"] == "hidden"}
    assert hidden == set(gone)
    shown = changeable("document", "show", "tax.md", "--tenant", "acme", "--json").document
    assert shown["state"] == "hidden"
    assert changeable("deletion", "list", "--tenant", "acme", "--json").document == []


def test_rejected_deletions_hide_nothing(changeable: Home) -> None:
    for name in ("bread.md", "chess.md", "orchid.md"):
        (changeable.folder / name).unlink()
    changeable("capture", "--once")
    (rejected,) = changeable("deletion", "reject", "--tenant", "acme", "--json").document
    assert rejected["decision"] == "rejected"
    assert states(changeable) == {"live"}
    assert changeable("deletion", "reject", "--tenant", "acme", "--json").document == []


def test_a_source_that_is_down_is_said(changeable: Home) -> None:
    changeable.folder.rename(changeable.folder.with_name("moved"))
    ended = changeable("ingest", "--tenant", "acme", "--json")
    assert (ended.status, ended.document["status"]) == (1, "unchanged")
    assert "source docs" in ended.stderr
    assert states(changeable) == {"live"}


def test_nothing_new_is_unchanged(changeable: Home) -> None:
    ended = changeable("ingest", "--tenant", "acme", "--json")
    assert (ended.status, ended.document["status"], ended.document["generation"]) == (0, "unchanged", 1)
    assert ended.document["embedded"] == 0


def test_erasing_leaves_nothing_of_a_tenant(changeable: Home) -> None:
    identifier = changeable("tenant", "show", "acme", "--json").document["id"]
    assert (changeable.path / "index" / identifier / "1").is_dir()
    ended = changeable("tenant", "erase", "acme", "--yes", "--json")
    assert ended.status == 0
    assert (ended.document["generations"], ended.document["still_open"]) == (1, 0)
    assert not (changeable.path / "index" / identifier).exists()
    assert changeable("search", "ballast", "--tenant", identifier, "--json").status == 2
    assert changeable("doctor", "--json").status == 0


def test_erasing_wipes_what_the_gateway_keeps_of_a_tenant(changeable: Home) -> None:
    """Its limits, those of its contract among them, and its pauses; another's stay."""
    assert changeable("tenant", "create", "globex", "--json").status == 0
    for tenant in ("acme", "globex"):
        limit = (f"tenant={tenant}", "5", "--window", "day", "--unit", "tokens")
        assert changeable("budget", "set", *limit, "--json").status == 0
    assert changeable("contract", "set", "-t", "acme", "budgets.batch.tokens=9", "--json").status == 0
    assert changeable("tenant", "erase", "acme", "--yes", "--json").status == 0
    left = changeable("budget", "show", "--json").document
    assert {budget["scope"] for budget in left} == {"tenant=globex"}
    assert changeable("tenant", "create", "acme", "--json").status == 0


def test_erasing_makes_no_gateway_where_there_was_none(changeable: Home) -> None:
    assert changeable("tenant", "erase", "acme", "--yes", "--json").status == 0
    assert not list(changeable.path.glob("gateway*"))


def listed(home: Home) -> list[dict[str, object]]:
    return list(home("document", "list", "--tenant", "acme", "--json").document)


def states(home: Home) -> set[object]:
    return {document["state"] for document in listed(home)}
