"""What `ingest` says of deletions that it holds."""

from __future__ import annotations

import pytest

from cli.commands.ingest import print_outcome
from tests.support.acme_home import Home


def test_a_held_mass_deletion_is_told_first_and_no_numbers(
    changeable: Home, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bread.md", "chess.md", "orchid.md", "tax.md"):
        (changeable.folder / name).unlink()
    document = changeable("ingest", "--tenant", "acme", "--json").document
    (held,) = document["held_deletions"]
    assert (held["source"], held["deletes"], held["of"], held["allowed_share"]) == ("docs", 4, 10, 0.2)
    assert document["held"] == {"docs": [held["position"]]}

    monkeypatch.setenv("COLUMNS", "80")
    print_outcome(document)
    told = capsys.readouterr()
    first, *rest = told.out.splitlines()
    assert first.startswith("acme held, generation 1 stays live")
    text = " ".join(" ".join(rest).split())
    assert text.startswith("Deletions wait for a person, and nothing after them is published: docs @ ")
    assert text.endswith("deletes 4 of its 10 documents; more than 20% at once are held")
    for command in ("deletion list", "deletion confirm|reject", "ingest"):
        assert f"holdfast {command} --tenant acme" in told.err
