"""Two tenants in one home: neither finds the other's text, moves its scores, or is left behind by an erasure."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import LargeBinary, and_, func, select
from sqlalchemy.orm import Session

from cli.erasure import erase_tenant
from pipelines.errors import IngestBusy, IngestRefused
from registry import changelog, generations, keys, tenants
from registry.errors import AlreadyExists, NotFound
from registry.schema import (
    Base,
    Change,
    Chunk,
    Content,
    Generation,
    GenerationDocument,
    Head,
    ParsedDocument,
    Source,
    Tenant,
    Vector,
)
from retrieval import documents
from retrieval.errors import GenerationNotServed, InvalidQuery, NothingPublished
from retrieval.search.query import Answer, Mode, SearchQuery
from tests.support.api import Api, api_over, error_of
from tests.support.real_sources import add_source, opened_world, published
from tests.support.world import TOPICS, World, text_about

MODES: tuple[Mode, ...] = get_args(Mode)
COMMON = {f"common/{topic}": text_about(topic) for topic in TOPICS[:6]}
QUERIES = (
    *TOPICS[:8], "the report edition", "secret", "alphasecret", "betasecret", "payroll of betasecret",
    "what does the granite file say", "sentence matters file", "row betasecret", "nothing like anything",
)  # fmt: skip
SECRETS = {"alpha": "alphasecret", "beta": "betasecret"}


def corpus(name: str, version: int = 0) -> dict[str, str]:
    """Documents of a tenant: some are word for word the other's, some share a key, some are its own alone."""
    secret = SECRETS[name]
    own = {f"{name}/{topic}": f"{secret} {text_about(topic, 3, version)}" for topic in TOPICS[3:9]}
    shared_keys = {
        "payroll": f"The payroll of {secret}, edition {version}.",
        "plan": f"{secret} plan {version}",
    }
    return {**COMMON, **own, **shared_keys}


class Two:
    """A home with the tenants alpha and beta (where wanted), each with its own source and rows of a shared one."""

    def __init__(self, world: World, *names: str) -> None:
        self.world = world
        self.ids: dict[str, str] = {}
        self.table = world.home / "rows.sqlite3"
        with sqlite3.connect(self.table) as connection:
            connection.execute("CREATE TABLE page (id TEXT PRIMARY KEY, tenant TEXT, title TEXT, body TEXT)")
        connection.close()
        options = {"table": "page", "key": "id", "title": "title", "body": "body", "tenant_column": "tenant"}
        add_source(world, "sqlite", self.table, name="rows", tenant=None, **options)
        for name in names:
            self.ids[name] = world.add_tenant(name)
            world.add_source("docs", self.ids[name])
            world.script("docs").path.rename(self.script(name))
            self._point_at_own_script(name)
        for name in names:
            self.change(name, corpus(name))
            self.write_rows(name, 4)
        for name in names:
            published(world, self.ids[name])

    def script(self, name: str) -> Path:
        return self.world.home / f"{name}.script"

    def _point_at_own_script(self, name: str) -> None:
        with self.world.registry.write() as session:
            source = session.scalars(select(Source).where(Source.tenant_id == self.ids[name])).one()
            source.uri = str(self.script(name))

    def change(self, name: str, upserts: dict[str, str], deletes: tuple[str, ...] = ()) -> None:
        self.world.commit(upserts, deletes, source=name)

    def write_rows(self, name: str, count: int, version: int = 0) -> None:
        with sqlite3.connect(self.table) as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO page VALUES (?, ?, ?, ?)",
                [
                    (
                        f"{name}-{n}",
                        name,
                        f"Row {n}",
                        f"Row {n} of {SECRETS[name]}, edition {version}: {TOPICS[n]}",
                    )
                    for n in range(count)
                ],
            )
        connection.close()

    def publish(self, name: str) -> None:
        published(self.world, self.ids[name])

    def answers(self, name: str, **more: Any) -> list[Answer]:
        """Every query in every mode, with and without collapsing, at two depths."""
        searches = product(QUERIES, MODES, (None, "document"), (3, 200))
        return [
            self.world.search(text, k, tenant=self.ids[name], mode=mode, collapse=collapse, **more)
            for text, mode, collapse, k in searches
        ]

    def erase(self, name: str) -> None:
        with self.world.reading() as session:
            tenant = tenants.find(session, self.ids[name])
        erase_tenant(self.world.registry, self.world.settings, tenant)


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with opened_world(tmp_path / "home") as world:
        yield Two(world, "beta", "alpha")


@pytest.fixture
def api(two: Two) -> Iterator[Api]:
    two.world.tenant = two.ids["alpha"]
    with api_over(two.world) as api:
        yield api


def seen(answers: list[Answer]) -> list[Any]:
    """All that must not depend on another tenant, floats by their bits. (A shared source's positions may.)"""
    return [
        (
            [
                (h.chunk_id, h.document, h.title, h.text, h.version, h.stale, _bits(h.score),
                 _bits(h.dense_score), _bits(h.lexical_score))
                for h in answer.hits
            ],
            answer.floor.met, _bits(answer.floor.best_cosine), answer.floor.lexical_hits, answer.hidden_since,
        )
        for answer in answers
    ]  # fmt: skip


def _bits(number: float | None) -> str | None:
    return None if number is None else float(number).hex()


@pytest.mark.parametrize(("name", "other"), [("alpha", "beta"), ("beta", "alpha")])
def test_no_query_ever_returns_the_others_text(two: Two, name: str, other: str) -> None:
    answers = two.answers(name)
    hits = [hit for answer in answers for hit in answer.hits]
    assert len(hits) > 1000
    assert {hit.document for hit in hits} == {*corpus(name), *(f"{name}-{n}" for n in range(4))}
    assert SECRETS[other] not in repr(answers)
    assert other not in repr(answers)


def test_scores_are_bit_identical_whoever_else_is_there(two: Two, tmp_path: Path) -> None:
    """Alone, beside another tenant, beside one that changes everything, and after it was erased."""
    with opened_world(tmp_path / "alone") as world:
        alone = seen(Two(world, "alpha").answers("alpha"))
    assert seen(two.answers("alpha")) == alone
    two.change(
        "beta", corpus("beta", 1) | {f"flood/{n}": text_about("alphasecret granite", 2, n) for n in range(60)}
    )
    two.write_rows("beta", 8, 1)
    two.publish("beta")
    assert seen(two.answers("alpha")) == alone
    two.world.ingestion.capture(two.ids["alpha"])
    assert two.world.run(two.ids["alpha"]).status == "unchanged"
    two.erase("beta")
    assert seen(two.answers("alpha")) == alone
    two.change("alpha", {"new": "something else altogether"})
    two.publish("alpha")
    assert seen(two.answers("alpha")) != alone
    assert seen(two.answers("alpha", as_of=1)) == alone


def test_a_deletion_of_one_hides_nothing_of_the_other(two: Two) -> None:
    before = {name: seen(two.answers(name)) for name in two.ids}
    two.change("beta", {}, deletes=("payroll",))
    two.world.ingestion.capture(two.ids["beta"])
    assert "payroll" not in {hit.document for answer in two.answers("beta") for hit in answer.hits}
    assert seen(two.answers("alpha")) == before["alpha"]


def test_a_row_that_changes_hands_leaves_the_one_and_reaches_the_other(two: Two) -> None:
    """A shared source's row is given to the other tenant: gone from the first at the capture, in the second's next."""
    with sqlite3.connect(two.table) as connection:
        connection.execute("UPDATE page SET tenant = 'alpha' WHERE id = 'beta-0'")
    connection.close()
    two.world.clock.advance(60)
    two.world.ingestion.capture(two.ids["alpha"])
    assert "beta-0" not in {hit.document for answer in two.answers("beta") for hit in answer.hits}
    assert "beta-0" not in {hit.document for answer in two.answers("alpha") for hit in answer.hits}
    two.publish("alpha")
    two.publish("beta")
    assert "beta-0" not in {hit.document for answer in two.answers("beta") for hit in answer.hits}
    assert "beta-0" in {hit.document for answer in two.answers("alpha") for hit in answer.hits}


def test_nothing_of_a_key_or_a_request_reaches_the_other_tenant(two: Two, api: Api) -> None:
    """The tenant comes from the key: not from the body, a header, the address, a filter, or a generation's number."""
    two.change("beta", corpus("beta", 2))
    two.publish("beta")
    beta = two.ids["beta"]
    for more in (
        {"tenant": "beta"}, {"tenant": beta}, {"tenant_id": beta}, {"scope": beta}, {"filter": {"tenant": beta}},
        {"filter": {"source": "rows", "document": "beta-0"}}, {"filter": {"document": "payroll"}},
        {"filter": {"document": ["beta/granite", "beta-1"]}}, {"filter": {"tenant_id": {"gte": ""}}},
        {"as_of": 2}, {"as_of": 1},
    ):  # fmt: skip
        for mode in MODES:
            response = api.post({"query": "payroll betasecret row", "mode": mode, "k": 100, **more})
            assert response.status_code in (200, 404, 410, 422), response.text
            assert "betasecret" not in response.text, more
            assert "The payroll of beta" not in response.text
    assert error_of(api.post({"query": "payroll", "as_of": 2}), 410, "generation_not_served")
    for headers in ({"X-Tenant": beta}, {"X-Holdfast-Tenant": beta}, {"Host": beta}):
        answer = api.post_raw('{"query": "payroll betasecret"}', **headers)
        assert (answer.status_code, "The payroll of beta" in answer.text) == (200, False)
    path = f"/v1/search?tenant={beta}&key={api.new_key(beta)}"
    answer = api.client.post(path, json={"query": "payroll"}, headers={"Authorization": f"Bearer {api.key}"})
    assert "The payroll of beta" not in answer.text
    for path in (
        "/v1/generations",
        f"/v1/generations?tenant={beta}",
        "/v1/contract",
        f"/v1/contract?tenant={beta}",
    ):
        assert beta not in api.get(path).text
    assert [g["generation"] for g in api.get("/v1/generations").json()] == [1]
    assert [g["generation"] for g in api.get("/v1/generations", api.new_key(beta)).json()] == [2, 1]


def test_half_of_one_key_and_half_of_another_open_nothing(api: Api, two: Two) -> None:
    mine, theirs = api.key.split("_"), api.new_key(two.ids["beta"]).split("_")
    for forged in (f"hf_{theirs[1]}_{mine[2]}", f"hf_{mine[1]}_{theirs[2]}", f"hf_{theirs[1]}_{'0' * 64}"):
        assert api.post({"query": "payroll"}, forged).status_code == 401
    assert api.post({"query": "payroll"}, two.ids["beta"]).status_code == 401


def test_no_row_of_one_tenant_is_reachable_by_the_others_id(two: Two) -> None:
    alpha, beta = two.ids["alpha"], two.ids["beta"]
    with two.world.reading() as session:
        for own, other in ((alpha, beta), (beta, alpha)):
            _refers_to_itself(session, own)
            foreign = {c.key for c in session.scalars(select(Change).where(Change.scope == other))}
            foreign -= {c.key for c in session.scalars(select(Change).where(Change.scope == own))}
            assert len(foreign) >= 10
            for key in sorted(foreign):
                with pytest.raises(NotFound):
                    documents.shown(session, own, key)
                with pytest.raises(NotFound):
                    documents.history(session, own, key)
                for source in session.scalars(select(Source)):
                    assert changelog.history(session, own, source.id, key) == []
            shown = documents.shown(session, own, "payroll")
            assert shown.content.decode() == corpus("alpha" if own == alpha else "beta")["payroll"]
        # What both have word for word is stored, and embedded, once for each.
        common = select(Change.content_sha256).where(Change.key.in_(COMMON))
        assert session.scalar(select(func.count()).where(Content.sha256.in_(common))) == 2 * len(COMMON)
        texts = {
            t: set(session.scalars(select(Vector.text_sha256).where(Vector.tenant_id == t)))
            for t in (alpha, beta)
        }
        assert len(texts[alpha] & texts[beta]) >= len(COMMON)


def _refers_to_itself(session: Session, tenant: str) -> None:
    """Everything that a tenant's rows lead to is its own: changes, contents, parses, chunks, vectors, heads."""
    manifest = session.scalars(select(GenerationDocument).where(GenerationDocument.tenant_id == tenant)).all()
    assert manifest
    for row in manifest:
        assert session.get_one(Change, row.change_id).scope == tenant
        assert session.get_one(Change, row.wanted_id).scope == tenant
        assert session.get_one(ParsedDocument, row.parsed_id).tenant_id == tenant
    upserts = session.scalars(select(Change).where(Change.scope == tenant, Change.op == "upsert")).all()
    assert all(session.get(Content, (tenant, change.content_sha256)) for change in upserts)
    heads = session.scalars(select(Head).where(Head.scope == tenant)).all()
    assert {head.content_sha256 for head in heads} <= {change.content_sha256 for change in upserts}
    chunks = (
        select(Chunk.text_sha256)
        .join(ParsedDocument, ParsedDocument.id == Chunk.parsed_id)
        .where(ParsedDocument.tenant_id == tenant)
    )
    assert set(session.scalars(chunks)) == set(
        session.scalars(select(Vector.text_sha256).where(Vector.tenant_id == tenant))
    )
    stray = select(Generation.number).where(
        and_(Generation.tenant_id == tenant, Generation.number.not_in({row.generation for row in manifest}))
    )
    assert session.scalars(stray).all() == []


def test_an_erased_tenant_leaves_nothing(two: Two) -> None:
    """No row, no file: only the id, so that it is not given again."""
    beta = two.ids["beta"]
    assert _rows_that_hold(two.world, "betasecret")
    two.erase("beta")
    assert _rows_that_hold(two.world, "betasecret") == []
    assert {table for table, _ in _rows_that_hold(two.world, beta)} <= {"tenant", "lease"}
    assert not (two.world.settings.index / beta).exists()
    left = [p for p in two.world.settings.index.rglob("*") if p.is_file() and b"betasecret" in p.read_bytes()]
    assert left == []
    with two.world.reading() as session:
        rows = session.scalars(select(Tenant).where(Tenant.id == beta)).one()
        assert (rows.status, rows.live_generation) == ("erased", None)


def _rows_that_hold(world: World, text: str) -> list[tuple[str, str]]:
    """(table, column) of every value of the registry in which the text occurs."""
    found = []
    with world.reading() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)).mappings():
                for column in table.columns:
                    value = row[column.name]
                    raw = isinstance(column.type, LargeBinary)
                    if (text.encode() in bytes(value or b"")) if raw else (text in str(value)):
                        found.append((table.name, column.name))
    return found


def test_an_erased_tenants_id_is_never_served_again(two: Two, api: Api) -> None:
    """Not by a process that had it open, not by its key, not to a new tenant of the same name."""
    old, key = two.ids["beta"], api.new_key(two.ids["beta"])
    assert api.found("payroll", key)
    two.erase("beta")
    assert error_of(api.post({"query": "payroll"}, key), 401, "key_unknown")
    for tenant in (old, "beta"):
        for as_of in (None, 1):
            with pytest.raises(NotFound):
                two.world.search("payroll", tenant=tenant, as_of=as_of)
    with pytest.raises((NotFound, IngestBusy, IngestRefused)):
        two.world.build(tenant=old)
    with pytest.raises(AlreadyExists), two.world.registry.write() as session:
        tenants.create(session, old, two.world.clock())
    new = two.world.add_tenant("beta")
    assert new != old
    assert error_of(api.post({"query": "payroll"}, key), 401, "key_unknown")
    fresh_key = api.new_key(new)
    assert api.post({"query": "payroll betasecret"}, fresh_key).status_code == 404
    assert api.get("/v1/generations", fresh_key).json() == []
    with pytest.raises(NothingPublished):
        two.world.search("payroll", tenant=new)
    with pytest.raises(GenerationNotServed):
        two.world.search("payroll", tenant=new, as_of=1)
    with two.world.reading() as session, pytest.raises(NotFound):
        documents.history(session, new, "payroll")


def test_a_new_tenant_of_an_erased_ones_name_sees_only_its_own(two: Two) -> None:
    two.erase("beta")
    two.ids["beta"] = two.world.add_tenant("beta")
    with two.world.registry.write() as session:
        assert generations.live(session, two.ids["beta"]) is None
        assert keys.of_tenant(session, two.ids["beta"]) == []
    two.world.add_source("fresh", two.ids["beta"])
    two.world.commit({"only": "the only text of the new one"}, source="fresh")
    two.publish("beta")
    found = {hit.document for answer in two.answers("beta") for hit in answer.hits}
    assert "only" in found
    assert not found & (corpus("beta").keys() | corpus("alpha").keys())


def test_rows_of_an_erased_tenant_are_dropped_and_counted(two: Two) -> None:
    two.erase("beta")
    before = _dropped(two.world)
    two.write_rows("beta", 6, 1)
    two.world.clock.advance(60)
    two.world.ingestion.capture(two.ids["alpha"])
    assert _dropped(two.world) == before + 6
    assert _rows_that_hold(two.world, "betasecret") == []


def _dropped(world: World) -> int:
    with world.reading() as session:
        return session.scalars(select(Source.dropped).where(Source.name == "rows")).one()


def test_a_filter_cannot_ask_for_another_tenant(two: Two) -> None:
    for condition in ({"source": {"gte": ""}}, {"document": 7}):
        with pytest.raises(InvalidQuery):
            two.world.searcher.search(two.ids["alpha"], SearchQuery("payroll", filter=condition))  # type: ignore[arg-type]
