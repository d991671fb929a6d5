"""Every failure has the one shape, whatever the path, and gives nothing away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError

from registry import publication, tenants
from retrieval.api.answers import MAX_BODY_BYTES
from retrieval.errors import EncoderUnavailable, IndexCorrupt, IndexUnavailable, ModelMismatch
from tests.support.api import Api, error_of
from tests.support.world import TOPICS, text_about

SECRET = "the-text-that-nobody-may-see"


# Paths and methods.


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/nothing", "/v1/search/", "/V1/search", "/healthz/", "/..", "/v1/%00", "/favicon.ico"],
)
def test_an_unknown_route(shared_api: Api, path: str) -> None:
    error_of(shared_api.get(path), 404, "not_found")
    error_of(shared_api.client.post(path, content=b"x" * 10), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/search", "POST"),
        ("PUT", "/v1/search", "POST"),
        ("DELETE", "/v1/generations", "GET"),
        ("POST", "/v1/contract", "GET"),
        ("POST", "/healthz", "GET"),
        ("PATCH", "/readyz", "GET"),
        ("OPTIONS", "/v1/search", "POST"),
        ("TRACE", "/metrics", "GET"),
    ],
)
def test_a_method_that_is_not_there(shared_api: Api, method: str, path: str, allowed: str) -> None:
    response = shared_api.client.request(method, path)
    error_of(response, 405, "method_not_allowed")
    assert response.headers["Allow"] == allowed


# Keys.

ROUTES = [("POST", "/v1/search"), ("GET", "/v1/generations"), ("GET", "/v1/contract")]


def ask(api: Api, method: str, path: str, **headers: str) -> Any:
    content = json.dumps({"query": "glacier"}) if method == "POST" else None
    return api.client.request(method, path, content=content, headers=headers)


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        ("Bearer", "key_missing"),
        ("Basic aGVsbG86d29ybGQ=", "key_missing"),
        ("hf_000000000000_" + "0" * 64, "key_missing"),
        ("Bearer ", "key_missing"),
        ("Bearer nonsense", "key_unknown"),
        ("Bearer hf_000000000000_" + "0" * 64, "key_unknown"),
        ("Bearer hf_000000000000_" + "0" * 63, "key_unknown"),
        ("Bearer HF_000000000000_" + "0" * 64, "key_unknown"),
        ("Bearer ' OR 1=1 --", "key_unknown"),
        ("Bearer " + "a" * 5000, "key_unknown"),
        ("Bearer caf\xe9", "key_unknown"),
    ],
)
def test_a_key_that_is_none(shared_api: Api, method: str, path: str, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    response = ask(shared_api, method, path, **headers)
    error_of(response, 401, code)
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_right_id_with_a_wrong_secret(shared_api: Api, method: str, path: str) -> None:
    forged = shared_api.key[:-64] + "0" * 64
    error = error_of(ask(shared_api, method, path, Authorization=f"Bearer {forged}"), 401, "key_unknown")
    assert "0000" not in error["message"]


@pytest.mark.parametrize("where", ["?key={}", "?api_key={}", "?access_token={}"])
def test_a_key_counts_in_its_header_alone(shared_api: Api, where: str) -> None:
    response = shared_api.client.get("/v1/generations" + where.format(shared_api.key))
    error_of(response, 401, "key_missing")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_revoked_key(shared_api: Api, method: str, path: str) -> None:
    key = shared_api.new_key()
    assert ask(shared_api, method, path, Authorization=f"Bearer {key}").status_code == 200
    shared_api.revoke(key)
    error_of(ask(shared_api, method, path, Authorization=f"Bearer {key}"), 401, "key_revoked")


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_an_expired_key(api: Api, method: str, path: str) -> None:
    key = api.new_key(expires_at=api.world.clock() + timedelta(seconds=60))
    api.world.clock.advance(59)
    assert ask(api, method, path, Authorization=f"Bearer {key}").status_code == 200
    api.world.clock.advance(1)
    error_of(ask(api, method, path, Authorization=f"Bearer {key}"), 401, "key_expired")


def test_a_search_key_only_searches(shared_api: Api) -> None:
    key = shared_api.new_key(role="search")
    assert shared_api.search("glacier", key).hits
    error_of(shared_api.get("/v1/generations", key), 403, "key_forbidden")
    error_of(shared_api.get("/v1/contract", key), 403, "key_forbidden")


def test_a_suspended_tenant_is_refused_at_once_and_served_again_after(api: Api) -> None:
    for _ in range(2):
        assert api.search("glacier").hits
        api.suspend()
        for method, path in ROUTES:
            error_of(ask(api, method, path, Authorization=f"Bearer {api.key}"), 403, "key_suspended")
        api.suspend(suspended=False)
    assert api.search("glacier").hits


def test_the_key_of_an_erased_tenant_is_unknown(api: Api) -> None:
    assert api.search("glacier").hits
    with api.registry.write() as session:
        tenants.erase(session, tenants.find(session, api.world.tenant))
    for method, path in ROUTES:
        error_of(ask(api, method, path, Authorization=f"Bearer {api.key}"), 401, "key_unknown")


# Bodies.


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"nonsense", b"[]", b"null", b'"query"', b"1", b"\xff\xfe", b"\xef\xbb\xbf{}", 
        b'{"query": "a"', b'{"query": "a",}', b"{'query': 'a'}", b'{"query": "\xff"}',
        b'{"query": "\\ud800"}',
        b'{"query": "a\\udc00b"}', b'{"query": "a", "\\ud800": 1}',
        b'{"query": "a", "filter": {"x": "\\ud800"}}',
        b'{"query": "a", "filter": {"\\ud800": "x"}}', b'{"query": "a\nb"}',
        b"[" * 100_000, b'{"query": "a", "filter": {"x": ' + b"[" * 1000 + b"]" * 1000 + b"}}",
        b'{"query": "a", "k": 1e400}', b'{"query": "a", "k": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: repr(content[:30]),
)  # fmt: skip
def test_a_body_that_is_no_request(shared_api: Api, content: bytes) -> None:
    error_of(shared_api.post_raw(content), 422, "invalid_request")
    error_of(shared_api.post_raw(content, None), 401, "key_missing")
    error_of(shared_api.post_raw(content, "hf_000000000000_" + "0" * 64), 401, "key_unknown")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("query", None), ("query", 1), ("query", []), ("query", {}), ("query", True), ("query", ""),
        ("query", " \t\n\u3000"), ("query", "a" * 8193),
        ("k", 0), ("k", -1), ("k", 1001), ("k", 10_000), ("k", 10**30), ("k", 1.5), ("k", "5"), ("k", True),
        ("k", None), ("k", []),
        ("mode", "fuzzy"), ("mode", ""), ("mode", None), ("mode", 1), ("mode", "HYBRID"),
        ("collapse", "chunk"), ("collapse", True), ("collapse", ""),
        ("as_of", 0), ("as_of", -1), ("as_of", 2**31), ("as_of", 10**30), ("as_of", "1"), ("as_of", True),
        ("as_of", 1.0), ("as_of", []),
        ("filter", None), ("filter", []), ("filter", "lang=en"), ("filter", 1),
        ("tenant", "acme"), ("tenant_id", "acme"), ("limit", 5), ("", 1),
    ],
)  # fmt: skip
def test_a_field_that_does_not_fit_is_named(shared_api: Api, field: str, value: Any) -> None:
    error = error_of(shared_api.post({"query": "glacier", field: value}), 422, "invalid_request")
    if field:
        assert field in error["message"]


def test_no_field_can_name_a_tenant(shared_api: Api) -> None:
    error = error_of(shared_api.post({"query": "glacier", "tenant": "other"}), 422, "invalid_request")
    assert error["fields"] == [{"field": "tenant", "message": "Extra inputs are not permitted"}]
    assert "other" not in error["message"]


def test_neither_can_the_address_nor_a_header(shared_api: Api) -> None:
    headers = {"Authorization": f"Bearer {shared_api.key}", "X-Tenant": "other", "X-Tenant-Id": "other"}
    response = shared_api.client.post("/v1/search?tenant=other", json={"query": "glacier"}, headers=headers)
    assert response.json()["tenant"] == "acme"


@pytest.mark.parametrize(
    "condition",
    [
        None, {}, {"is": 1}, {"gte": None}, {"gte": True}, {"gte": [1]}, {"gte": 1, "lt": "2024-01-01"},
        {"gte": "yesterday"}, {"gte": 10**30}, [None], [[1]], [{}], {"gte": {}}, 10**30, -(2**63) - 1,
        [2**63], ["a"] * 1001,
    ],
    ids=lambda condition: repr(condition)[:30],
)  # fmt: skip
def test_a_filter_that_makes_no_sense(shared_api: Api, condition: Any) -> None:
    for name in ("field", "source", "document"):
        body = {"query": "glacier", "filter": {name: condition}}
        error_of(shared_api.post(body), 422, "invalid_request")


@pytest.mark.parametrize("literal", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b'{"gte": NaN}', b"[NaN]"])
def test_a_filter_that_is_no_number(shared_api: Api, literal: bytes) -> None:
    content = b'{"query": "glacier", "filter": {"x": %s}}' % literal
    error_of(shared_api.post_raw(content), 422, "invalid_request")


@pytest.mark.parametrize(
    "name", ["", 'a"b', "source.x", "a[0]", "a\\", "a.b", "[]", "$", "\x00", "é", "a" * 5000]
)
@pytest.mark.parametrize("condition", ["x", 1, 1.5, True, ["x", 1], {"gte": 1}, {"lt": "2024-01-01"}, []])
def test_any_name_of_a_field_is_refused_or_finds_nothing(shared_api: Api, name: str, condition: Any) -> None:
    response = shared_api.post({"query": "glacier", "filter": {name: condition}})
    if response.status_code == 200:
        assert response.json()["hits"] == []
    else:
        error_of(response, 422, "invalid_request")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.datetimes().map(lambda moment: moment.isoformat()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=150)
@given(filter_=st.dictionaries(st.text(max_size=6) | st.sampled_from(["source", "a"]), VALUES, max_size=3))
@example(filter_={"a": {"gte": "0001-01-01T00:00:00+14:00"}})
@example(filter_={"a": {"lt": "9999-12-31T23:59:59-14:00"}})
@example(filter_={"a": {"gte": "20240101T000000.123456789Z"}})
@example(filter_={"a": {"gte": "2024-01-01T00:00:00+00:00:30"}})
@example(filter_={"a": 5e-324, "b": [1.7976931348623157e308]})
def test_any_filter_is_answered_or_refused(filter_: dict[str, Any], shared_api: Api) -> None:
    content = json.dumps({"query": "glacier", "filter": filter_}).encode()
    response = shared_api.post_raw(content)
    if response.status_code != 200:
        error_of(response, 422, "invalid_request")


def test_too_many_conditions(shared_api: Api) -> None:
    error_of(
        shared_api.post({"query": "a", "filter": {f"f{n}": 1 for n in range(65)}}), 422, "invalid_request"
    )
    assert shared_api.post({"query": "a", "filter": {f"f{n}": 1 for n in range(64)}}).status_code == 200


def test_a_query_of_a_megabyte(shared_api: Api) -> None:
    response = shared_api.post({"query": "a" * 2**20})
    error = error_of(response, 413, "too_large")
    assert "aaaa" not in response.text
    assert f"{MAX_BODY_BYTES:,}" in error["message"]


def chunks(*parts: bytes) -> Iterator[bytes]:
    yield from parts


def test_a_chunked_body_is_read_like_any_other(shared_api: Api) -> None:
    response = shared_api.post_raw(chunks(b'{"query": ', b"", b'"glacier"}'))
    assert response.status_code == 200
    assert response.json()["hits"][0]["document"] == "d1"


def test_a_chunked_body_has_an_end(shared_api: Api) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1
            yield b" " * 1024

    error_of(shared_api.post_raw(endless()), 413, "too_large")


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "\xb2", "9" * 30])
def test_a_length_that_lies(shared_api: Api, length: str) -> None:
    """A server refuses most of these itself; none may be an error of ours."""
    response = shared_api.post_raw(b'{"query": "glacier"}', **{"Content-Length": length.encode("latin-1")})
    assert response.status_code in (200, 413)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense", ""])
def test_the_type_of_the_body_does_not_matter(shared_api: Api, kind: str) -> None:
    assert shared_api.post_raw(b'{"query": "glacier"}', **{"Content-Type": kind}).status_code == 200


# Generations.


def test_nothing_published_yet(empty_api: Api) -> None:
    error = error_of(empty_api.post({"query": "glacier"}), 404, "nothing_published")
    assert "holdfast ingest --tenant acme" in error["message"]
    assert empty_api.get("/v1/generations").json() == []
    error_of(empty_api.post({"query": "glacier", "as_of": 1}), 410, "generation_not_served")


def test_as_of_something_that_is_not_served(api: Api) -> None:
    api.world.set_contract(retained_generations=1)
    for edition in (1, 2):
        api.world.commit({"d0": text_about(TOPICS[0], version=edition)})
        assert api.world.run().status == "published"
    api.world.set_contract(recall_floor=1.0, k=1)
    api.world.ask_about({"nothing of the kind": ["d9"], "what does the harbour file say": ["d1"]})
    api.world.commit({"d0": text_about(TOPICS[0], version=3)})
    assert api.world.run().status == "rejected"
    assert api.search("harbour", as_of=3).generation == 3
    assert api.search("harbour", as_of=2).generation == 2
    for number, state in ((1, "retired"), (4, "rejected"), (5, "does not exist")):
        error = error_of(api.post({"query": "harbour", "as_of": number}), 410, "generation_not_served")
        assert state in error["message"]
        assert "served are 3, 2" in error["message"]


def test_as_of_a_candidate(api: Api) -> None:
    api.world.commit({"d0": text_about(TOPICS[0], version=1)})
    api.world.capture()
    built = api.world.build()
    assert built.status == "published"
    assert built.generation == 2
    error = error_of(api.post({"query": "harbour", "as_of": 2}), 410, "generation_not_served")
    assert "is candidate" in error["message"]
    assert api.search("harbour").generation == 1


# What is broken on our side.


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ModelMismatch("g", SECRET, "b"), "model_mismatch"),
        (IndexUnavailable(SECRET), "index_unavailable"),
        (IndexCorrupt(SECRET), "index_corrupt"),
        (EncoderUnavailable(SECRET), "encoder_unavailable"),
        (OperationalError(SECRET, {"a": SECRET}, Exception("database is locked")), "registry_unavailable"),
    ],
)
def test_what_the_operator_must_mend(
    shared_api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    raised: Exception,
    code: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(shared_api.world.store, "open", fail)
    response = shared_api.post({"query": "glacier"})
    error = error_of(response, 503, code)
    assert SECRET not in response.text
    assert response.headers["Retry-After"]
    assert error["request_id"] in caplog.text


@pytest.mark.parametrize(
    "raised",
    [
        RuntimeError(SECRET),
        KeyError(SECRET),
        RecursionError(),
        MemoryError(),
        IntegrityError(SECRET, {}, Exception()),
    ],
)
def test_what_nobody_foresaw(
    shared_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raised: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(shared_api.world.store, "open", fail)
    response = shared_api.post({"query": "glacier"})
    error = error_of(response, 500, "internal_error")
    assert SECRET not in response.text
    assert "Traceback" not in response.text
    assert error["request_id"] in caplog.text
    assert type(raised).__name__ in caplog.text
    monkeypatch.undo()
    assert shared_api.search("glacier").hits


def test_a_failure_in_any_route_has_the_shape(shared_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(shared_api.registry, "read", fail)
    for method, path in [*ROUTES, ("GET", "/metrics"), ("GET", "/readyz")]:
        headers = {"Authorization": f"Bearer {shared_api.key}"}
        response = ask(shared_api, method, path, **headers)
        error_of(response, 500, "internal_error")
        assert SECRET not in response.text


# Request ids and logs.


def test_request_ids_are_unique_and_in_every_response(shared_api: Api) -> None:
    responses = [
        shared_api.get(path)
        for path in ("/healthz", "/readyz", "/metrics", "/v1/generations", "/nothing", "/docs")
    ]
    responses += [shared_api.post({"query": "glacier"}) for _ in range(5)]
    responses += [
        shared_api.post({"query": ""}),
        shared_api.post({"query": "a" * 2**20}),
        shared_api.post({}, None),
    ]
    found = [response.headers["X-Request-Id"] for response in responses]
    assert len(set(found)) == len(found)
    assert responses[6].json()["request_id"] == found[6]


def test_a_client_cannot_choose_its_id(shared_api: Api) -> None:
    response = shared_api.client.get("/healthz", headers={"X-Request-Id": "forged"})
    assert response.headers["X-Request-Id"] != "forged"


def test_neither_key_nor_query_nor_text_is_ever_logged(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (None, "holdfast", "uvicorn", "fastapi", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.DEBUG if name != "sqlalchemy.engine" else logging.INFO)
    api.world.commit({"secret": f"The {SECRET} file."})
    assert api.world.run().status == "published"
    caplog.clear()
    forged = api.key[:-64] + "0" * 64
    api.post({"query": SECRET})
    api.post({"query": SECRET}, forged)
    api.post({"query": SECRET, SECRET: SECRET, "filter": {"x": SECRET}})
    api.post({"query": SECRET, "k": 0})
    api.post_raw(b'{"query": "' + SECRET.encode())
    api.world.set_contract(on_floor_unmet="refuse", result_floor_cosine=1.0)
    api.post({"query": f"{SECRET} {SECRET} xylophone"})

    def fail(*_: object, **__: object) -> None:
        raise IndexCorrupt("broken")

    monkeypatch.setattr(api.world.store, "open", fail)
    api.post({"query": SECRET})
    logging.getLogger("sqlalchemy.engine").setLevel(logging.NOTSET)
    assert "index_corrupt" in caplog.text
    assert SECRET not in caplog.text
    assert api.key.rsplit("_", 1)[1] not in caplog.text
    assert forged not in caplog.text


def test_a_rollback_that_is_refused_changes_nothing(api: Api) -> None:
    with pytest.raises(Exception, match="does not retain"), api.registry.write() as session:
        publication.roll_back(session, api.world.tenant, api.world.clock())
    assert api.search("glacier").generation == 1


def test_a_burst_of_failures_leaves_no_thread_behind(shared_api: Api) -> None:
    before = threading.active_count()
    for _ in range(20):
        shared_api.post({"query": ""})
        shared_api.get("/nothing")
    assert threading.active_count() <= before + 2
