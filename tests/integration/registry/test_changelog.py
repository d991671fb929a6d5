"""What the change log says of documents, against a model in plain Python over random histories."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from registry import changelog
from registry.changelog import DocumentKey, RegisteredHeads
from registry.database import Registry
from registry.schema import Source
from tests.support.registry_rows import START, add_source, add_tenant, write_commit

KEYS = ["a.md", "b.md", "c.md", "Ä.md"]
HOLDS = ["", "", "rejected", "confirmed", "rejected", "held", "restored"]


@dataclass
class Commit:
    """A commit that could have happened: keys change at most once, only what is there goes."""

    upserts: dict[str, str] = field(default_factory=dict)
    deletes: list[str] = field(default_factory=list)
    moves: dict[str, tuple[str, str]] = field(default_factory=dict)
    hold: str = ""
    new_epoch: bool = False

    def write(self, session: Session, source: Source, scope: str) -> int:
        return write_commit(session, source, scope, **self.__dict__)


@st.composite
def histories(draw: st.DrawFn) -> list[Commit]:
    present: dict[str, str] = {}
    commits: list[Commit] = []
    for number in range(draw(st.integers(1, 7))):
        commit = Commit(hold=draw(st.sampled_from(HOLDS)), new_epoch=draw(st.booleans()))
        untouched = set(KEYS)
        for key in draw(st.permutations(KEYS)):
            action = draw(st.sampled_from(["leave", "upsert", "move", "delete"]))
            if key not in untouched:
                continue
            content = f"{key}-{number}"
            if action == "upsert":
                commit.upserts[key] = present[key] = content
            elif action == "delete" and key in present:
                commit.deletes.append(key)
                del present[key]
            elif action == "move" and key in present and len(untouched) > 1:
                target = draw(st.sampled_from(sorted(untouched - {key})))
                commit.moves[key] = (target, present.pop(key))
                present[target] = commit.moves[key][1]
                untouched.discard(target)
            else:
                continue
            untouched.discard(key)
        if commit.upserts or commit.deletes or commit.moves:
            commits.append(commit)
    return commits


def net_by_hand(history: list[Commit], after: int, up_to: int) -> dict[str, tuple[str, int]]:
    """Key to (operation, commit) of its newest change that counts."""
    newest: dict[str, tuple[str, int]] = {}
    for seq, commit in enumerate(history, start=1):
        if after < seq <= up_to:
            for key in commit.deletes:
                if commit.hold != "rejected":
                    newest[key] = ("delete", seq)
            newest.update(dict.fromkeys(commit.moves, ("delete", seq)))
            arriving = [*commit.upserts, *(new for new, _ in commit.moves.values())]
            newest.update(dict.fromkeys(arriving, ("upsert", seq)))
    return newest


def hidden_by_hand(history: list[Commit], after: int) -> set[str]:
    """Keys of documents that went after a commit, a renamed one when its new key does."""
    hidden: set[str] = set()
    followers: dict[str, set[str]] = {}
    for seq, commit in enumerate(history, start=1):
        if seq <= after:
            continue
        moved = {old: {old} | followers.pop(old, set()) for old in commit.moves}
        if commit.hold in ("", "confirmed"):
            for key in commit.deletes:
                hidden |= {key} | followers.pop(key, set())
        for old, (new, _) in commit.moves.items():
            followers.setdefault(new, set()).update(moved[old])
    return hidden


examples = settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))


@examples
@given(history=histories(), data=st.data())
def test_net_changes(registry: Registry, history: list[Commit], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(history)))
    up_to = data.draw(st.integers(after, len(history)))
    with Session(registry.engine) as session:
        tenant_id, bystander = add_tenant(session, "acme"), add_tenant(session, "beta")
        source, other = add_source(session, tenant_id), add_source(session, tenant_id, "other")
        for commit in history:
            write_commit(session, other, tenant_id, upserts={"a.md": "elsewhere"}, deletes=["b.md"])
            write_commit(session, add_or_get(session, bystander), bystander, deletes=["c.md"])
            commit.write(session, source, tenant_id)
        found = changelog.net_changes(session, tenant_id, source.id, after, up_to)
        assert {c.key: (c.op, c.seq) for c in found} == net_by_hand(history, after, up_to)
        assert [c.key for c in found] == sorted(c.key for c in found)
        session.rollback()


def add_or_get(session: Session, tenant_id: str) -> Source:
    from registry import sources

    found = sources.of_tenant(session, tenant_id)
    return found[0] if found else add_source(session, tenant_id, "bystander")


@examples
@given(history=histories(), data=st.data())
def test_two_steps_come_to_the_same_documents_as_one(
    registry: Registry, history: list[Commit], data: st.DataObject
) -> None:
    between = data.draw(st.integers(0, len(history)))
    with Session(registry.engine) as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        for commit in history:
            commit.write(session, source, tenant_id)

        def apply(after: int, up_to: int, documents: dict[str, int]) -> dict[str, int]:
            result = dict(documents)
            for change in changelog.net_changes(session, tenant_id, source.id, after, up_to):
                if change.op == "delete":
                    result.pop(change.key, None)
                else:
                    result[change.key] = change.id
            return result

        last = len(history)
        assert apply(between, last, apply(0, between, {})) == apply(0, last, {})
        session.rollback()


@examples
@given(history=histories(), data=st.data())
def test_hidden_documents(registry: Registry, history: list[Commit], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(history)))
    with Session(registry.engine) as session:
        tenant_id = add_tenant(session)
        source, unpinned = add_source(session, tenant_id), add_source(session, tenant_id, "unpinned")
        for commit in history:
            write_commit(session, unpinned, tenant_id, deletes=["a.md"])
            commit.write(session, source, tenant_id)
        expected = {DocumentKey(source.id, key) for key in hidden_by_hand(history, after)}
        assert changelog.hidden_documents(session, tenant_id, {source.id: after}) == expected
        assert changelog.hidden_documents(session, tenant_id, {}) == set()
        session.rollback()


def test_a_document_renamed_and_then_deleted_is_hidden(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        pin = {source.id: write_commit(session, source, tenant_id, upserts={"old": "x", "stays": "y"})}
        write_commit(session, source, tenant_id, moves={"old": ("new", "x")})
        assert changelog.hidden_documents(session, tenant_id, pin) == set()
        write_commit(session, source, tenant_id, deletes=["new"])
        hidden = changelog.hidden_documents(session, tenant_id, pin)
        assert {document.key for document in hidden} == {"old", "new"}


def test_what_came_back_stays_hidden_until_published(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        first = write_commit(session, source, tenant_id, upserts={"a": "x"})
        write_commit(session, source, tenant_id, deletes=["a"])
        last = write_commit(session, source, tenant_id, upserts={"a": "x"})
        expected = {DocumentKey(source.id, "a")}
        assert changelog.hidden_documents(session, tenant_id, {source.id: first}) == expected
        assert changelog.hidden_documents(session, tenant_id, {source.id: last}) == set()


def test_each_source_is_looked_at_from_its_own_pin(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        one, two = add_source(session, tenant_id, "one"), add_source(session, tenant_id, "two")
        for source in (one, two):
            write_commit(session, source, tenant_id, deletes=["a"])
            write_commit(session, source, tenant_id, deletes=["b"])
        hidden = changelog.hidden_documents(session, tenant_id, {one.id: 1, two.id: 0})
        assert hidden == {DocumentKey(one.id, "b"), DocumentKey(two.id, "a"), DocumentKey(two.id, "b")}


def test_a_decision_lets_deletions_take_effect_or_not(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        write_commit(session, source, tenant_id, upserts={"a": "x", "b": "y"})
        held = write_commit(session, source, tenant_id, deletes=["a"], hold="held")
        moved = {"b": ("c", "y")}
        mass = write_commit(session, source, tenant_id, deletes=[], moves=moved, hold="held")
        rows = changelog.held_commits(session, tenant_id)
        assert [(commit.seq, found.id) for commit, found in rows] == [(held, source.id), (mass, source.id)]
        assert changelog.hidden_documents(session, tenant_id, {source.id: 1}) == set()
        changelog.set_hold(session, tenant_id, source.id, [held], "confirmed", "me", START)
        changelog.set_hold(session, tenant_id, source.id, [mass], "rejected", "me", START)
        assert changelog.held_commits(session, tenant_id) == []
        assert changelog.hidden_documents(session, tenant_id, {source.id: 1}) == {DocumentKey(source.id, "a")}
        session.expire_all()
        commits = changelog.tenant_commits(session, tenant_id, source.id, 1)
        assert [(c.hold, c.decided_by, c.decided_at) for c in commits] == [
            ("confirmed", "me", START),
            ("rejected", "me", START),
        ]
        # A rename is no deletion to be rejected: else its document would be there twice.
        net = changelog.net_changes(session, tenant_id, source.id, 0, 9)
        assert {c.key: c.op for c in net} == {"a": "delete", "b": "delete", "c": "upsert"}


def test_history_and_capture_marks(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        write_commit(session, source, tenant_id, upserts={"a": "1", "b": "1"})
        write_commit(session, source, tenant_id, deletes=["a"], new_epoch=True)
        write_commit(session, source, tenant_id, upserts={"a": "2"})
        told = changelog.history(session, tenant_id, source.id, "a")
        assert [(c.op, commit.position, commit.epoch) for c, commit in told] == [
            ("upsert", "p1", 0), ("delete", "p2", 1), ("upsert", "p3", 1),
        ]  # fmt: skip
        assert changelog.is_captured(session, source.id, 1, "p3")
        assert not changelog.is_captured(session, source.id, 0, "p3")
        assert not changelog.is_captured(session, source.id + 1, 1, "p3")


def test_changes_by_id_in_any_number(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source = add_source(session, tenant_id)
        write_commit(session, source, tenant_id, upserts={f"k{i}": f"c{i}" for i in range(1100)})
        ids = [c.id for c in changelog.net_changes(session, tenant_id, source.id, 0, 1)]
        found = changelog.changes_by_id(session, ids)
        assert sorted(found) == sorted(ids)
        assert len(found) == 1100


def test_heads_are_sorted_by_code_point_and_prefixes_are_exact(registry: Registry) -> None:
    keys = ["Docs/a", "docs/a", "docs/B", "docs_x", "docs/%", "docsé", "Z", "a", "ä", "docs"]
    with registry.write() as session:
        tenant_id = add_tenant(session)
        source, other = add_source(session, tenant_id), add_source(session, tenant_id, "other")
        write_commit(session, source, tenant_id, upserts={key: f"of {key}" for key in keys})
        write_commit(session, other, tenant_id, upserts={"docs/elsewhere": "x"})
        heads = RegisteredHeads(session, source.id)
        assert list(heads.keys()) == sorted(keys)
        for prefix in ("docs/", "Docs/", "docs_", "docs/%", "d", "%", "ä", "none"):
            assert list(heads.keys(prefix)) == sorted(k for k in keys if k.startswith(prefix)), prefix
        assert heads.fingerprint("Z") == "of Z"
        assert heads.fingerprint("docs/elsewhere") is None
        assert heads.get("z") is None


@pytest.mark.parametrize("label", ["acme", ""])
def test_waiting_documents_are_counted_by_label(registry: Registry, label: str) -> None:
    with registry.write() as session:
        source = add_source(session, None, "shared")
        write_commit(session, source, f"?{label}", upserts={"a": "1", "b": "2"})
        write_commit(session, source, f"?{label}", deletes=["a"])
        assert changelog.waiting(session) == {label: 1}
