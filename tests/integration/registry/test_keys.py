"""Keys of the API: shown once, stored hashed, and good for exactly one tenant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from registry import keys, tenants
from registry.database import Registry
from registry.errors import KeyRejected, NotFound, RegistryError
from registry.schema import ApiKey
from tests.support.registry_rows import START, add_tenant

HEX = "0123456789abcdef"
LATER = START + timedelta(hours=1)


def rejection(registry: Registry, key: str, role: keys.Role = "search", after: int = 60) -> str:
    with registry.read() as session, pytest.raises(KeyRejected) as rejected:
        keys.authenticate(session, key, START + timedelta(seconds=after), role)
    assert not key or len(key) < 9 or key not in str(rejected.value)
    return rejected.value.reason


def test_a_key_speaks_for_its_tenant_alone(registry: Registry) -> None:
    with registry.write() as session:
        made = {name: keys.create(session, add_tenant(session, name), START).key for name in ("acme", "beta")}
    with registry.read() as session:
        for name, key in made.items():
            assert keys.authenticate(session, key, LATER).name == name
    (_, acme, _), (_, _, beta) = (key.split("_") for key in made.values())
    assert rejection(registry, f"hf_{acme}_{beta}") == "unknown"


def test_only_a_hash_is_stored(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        made = keys.create(session, tenant_id, START)
        secret = made.key.split("_")[2]
        assert len(secret) == 64
        assert keys.create(session, tenant_id, START).key != made.key
    with registry.read() as session:
        row = session.get_one(ApiKey, made.id)
        assert secret not in repr([getattr(row, column.key) for column in ApiKey.__table__.columns])
        assert {key.id for key in keys.of_tenant(session, tenant_id)} >= {made.id}
    assert rejection(registry, f"hf_{made.id}_{row.secret_sha256}") == "unknown"


def test_a_revoked_key_is_refused_for_good(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id, other = add_tenant(session, "acme"), add_tenant(session, "beta")
        made = keys.create(session, tenant_id, START)
        with pytest.raises(NotFound):
            keys.revoke(session, other, made.id, START)
        with pytest.raises(NotFound):
            keys.revoke(session, tenant_id, "0" * 12, START)
        keys.revoke(session, tenant_id, made.id, START)
        assert keys.revoke(session, tenant_id, made.id, LATER).revoked_at == START
    assert rejection(registry, made.key) == "revoked"


def test_a_key_expires_at_its_instant(registry: Registry) -> None:
    with registry.write() as session:
        made = keys.create(session, add_tenant(session), START, expires_at=LATER)
        assert keys.authenticate(session, made.key, LATER - timedelta(microseconds=1)).name == "acme"
    assert rejection(registry, made.key, after=3600) == "expired"


def test_a_search_key_reads_nothing_else(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        search = keys.create(session, tenant_id, START, role="search")
        reader = keys.create(session, tenant_id, START, role="reader")
        assert keys.authenticate(session, search.key, LATER, "search").id == tenant_id
        assert keys.authenticate(session, reader.key, LATER, "reader").id == tenant_id
        assert keys.authenticate(session, reader.key, LATER, "search").id == tenant_id
        with pytest.raises(RegistryError, match="no role"):
            keys.create(session, tenant_id, START, role="root")
    assert rejection(registry, search.key, "reader") == "forbidden"


def test_keys_of_a_suspended_or_erased_tenant_are_refused(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        made = keys.create(session, tenant_id, START)
        tenants.suspend(session, tenants.find(session, tenant_id), True)
    assert rejection(registry, made.key) == "suspended"
    with registry.write() as session:
        tenants.erase(session, tenants.find(session, tenant_id))
    assert rejection(registry, made.key) == "unknown"


malformed = st.one_of(
    st.text(st.characters(), max_size=120),
    st.builds(
        "{}_{}_{}".format, st.sampled_from(["hf", "HF", ""]), st.text(max_size=20), st.text(max_size=70)
    ),
    st.builds("hf_{}_{}".format, st.text(HEX, max_size=20), st.text(st.characters(), max_size=70)),
    st.builds(
        "hf_{}_{}".format, st.text(HEX, min_size=12, max_size=12), st.text(HEX, min_size=64, max_size=64)
    ),
    st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=malformed)
@example(key="hf_\0_\0")
@example(key="hf_\ud800_\udfff")
@example(key="hf_" + "9" * 100_000)
def test_a_malformed_key_is_rejected_and_nothing_else(registry: Registry, key: str) -> None:
    assert rejection(registry, key) == "unknown"


@pytest.mark.parametrize("tail", ["\n", " ", "_", "0", "\0", "\ud800"])
def test_a_good_key_with_a_tail_is_malformed(registry: Registry, tail: str) -> None:
    with registry.write() as session:
        made = keys.create(session, add_tenant(session), START)
    assert rejection(registry, made.key + tail) == "unknown"
    another = tail if tail != made.key[-1] else "1"
    assert rejection(registry, made.key[:-1] + another) == "unknown"
    assert rejection(registry, made.key.upper()) == "unknown"
