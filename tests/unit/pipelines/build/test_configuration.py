"""A generation's identity: it knows whatever changes the content, and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.build.configuration import PARSED_WITH, BuildConfiguration, identity, parse_hash_of
from registry.changelog import PinnedAt

BUILD = BuildConfiguration("p1", "c1", "t1", 256, "english-1", "model-1", 3)
AT = datetime(2026, 1, 1, tzinfo=UTC)
PINS = [PinnedAt(1, 5, 1, "aa", AT, True), PinnedAt(2, 9, 1, "bb", AT, True)]


def other(name: str) -> BuildConfiguration:
    value = getattr(BUILD, name)
    return replace(BUILD, **{name: value + 1 if isinstance(value, int) else f"{value}x"})


@pytest.mark.parametrize("name", [field.name for field in fields(BuildConfiguration)])
def test_every_part_of_the_configuration_is_in_the_identity(name: str) -> None:
    assert identity(other(name), PINS, 4) != identity(BUILD, PINS, 4)
    assert (other(name).parse_hash != BUILD.parse_hash) == (name in PARSED_WITH)


def test_the_identity_knows_pins_base_and_rejected_deletions() -> None:
    same = identity(BUILD, PINS, 4, ["x", "y"])
    others = [
        identity(BUILD, PINS[:1], 4, ["x", "y"]),
        identity(BUILD, [PINS[0], replace(PINS[1], seq=10)], 4, ["x", "y"]),
        identity(BUILD, [PINS[0], replace(PINS[1], epoch=2)], 4, ["x", "y"]),
        identity(BUILD, [PINS[0], replace(PINS[1], position="cc")], 4, ["x", "y"]),
        identity(BUILD, [PINS[0], replace(PINS[1], source_id=3)], 4, ["x", "y"]),
        identity(BUILD, PINS, 5, ["x", "y"]),
        identity(BUILD, PINS, None, ["x", "y"]),
        identity(BUILD, PINS, 4, ["x"]),
        identity(BUILD, PINS, 4),
    ]
    assert len({same, *others}) == len(others) + 1
    assert len(same) == 64
    assert identity(BUILD, PINS[::-1], 4, ["y", "x"]) == same


@given(st.integers(0, 10**6), st.booleans())
def test_when_a_commit_was_made_and_whether_it_was_quiet_changes_no_content(
    seconds: int, quiet: bool
) -> None:
    later = [replace(p, committed_at=AT + timedelta(seconds=seconds), quiescent=quiet) for p in PINS]
    assert identity(BUILD, later, 4) == identity(BUILD, PINS, 4)


def test_a_stored_configuration_hashes_as_it_did() -> None:
    assert parse_hash_of(BUILD.as_dict()) == BUILD.parse_hash
    assert parse_hash_of({**BUILD.as_dict(), "model": "m", "index_format": 9, "new": 1}) == BUILD.parse_hash
    older = {name: value for name, value in BUILD.as_dict().items() if name != "analyzer"}
    assert parse_hash_of(older) != BUILD.parse_hash
