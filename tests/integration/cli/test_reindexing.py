"""`holdfast reindex`, as a process of its own, with the real model."""

from __future__ import annotations

from tests.support.acme_home import Home


def test_a_reindex_of_the_same_is_the_same(changeable: Home) -> None:
    ended = changeable("reindex", "--tenant", "acme", "--json")
    assert ended.status == 0, ended
    found = ended.document
    assert (found["status"], found["generation"], found["replaced"]) == ("published", 2, 1)
    assert found["identical"] is True
    assert (found["embedded"], found["work"]["parsed"], found["work"]["reindexed"]) == (0, 0, "asked for")
    assert "acme: index, 10 to do" in ended.stderr
    first, second = changeable("generations", "--tenant", "acme", "--json").document
    assert first["digest"] == second["digest"]
    unknown = changeable("reindex", "--tenant", "nobody", "--json")
    assert (unknown.status, unknown.error["code"]) == (2, "not_found")
