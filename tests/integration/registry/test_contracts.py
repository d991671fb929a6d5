"""Contracts in the registry: versioned, the newest in force, the same hash however they were written."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from registry import contracts
from registry.contract import Contract, LaneBudget
from registry.database import Registry
from registry.errors import NotFound
from registry.schema import ContractVersion
from tests.support.registry_rows import START, add_tenant


def test_versions_count_up_and_the_newest_is_in_force(registry: Registry) -> None:
    with registry.write() as session:
        tenant_id = add_tenant(session)
        assert contracts.version(session, tenant_id) == 1
        for number, k in enumerate((3, 4, 3), start=2):
            changed = contracts.current(session, tenant_id).changed({"k": k})
            later = START + timedelta(hours=number)
            assert contracts.store(session, tenant_id, changed, later) == number
            assert contracts.store(session, tenant_id, changed, later) == number
            assert contracts.current(session, tenant_id).k == k
        query = select(ContractVersion).order_by(ContractVersion.version)
        rows = session.scalars(query.where(ContractVersion.tenant_id == tenant_id)).all()
    assert [row.version for row in rows] == [1, 2, 3, 4]
    assert rows[1].hash == rows[3].hash != rows[2].hash


def test_each_tenant_has_its_own(registry: Registry) -> None:
    with registry.write() as session:
        acme, beta = add_tenant(session, "acme"), add_tenant(session, "beta")
        contracts.store(session, acme, Contract(k=3), START)
        assert contracts.current(session, beta) == Contract()
        with pytest.raises(NotFound):
            contracts.current(session, "nobody")
        with pytest.raises(NotFound):
            contracts.store(session, "nobody", Contract(), START)
        assert contracts.version(session, "nobody") == 0


shares = st.floats(0, 1)
valid = st.builds(
    Contract,
    k=st.integers(1, 100),
    recall_floor=shares,
    allowed_drop=shares,
    freshness_seconds=st.floats(1e-9, 1e300),
    result_floor_cosine=st.floats(-1, 1),
    owner=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    budgets=st.dictionaries(
        st.sampled_from(["interactive", "batch"]),
        st.builds(LaneBudget, tokens=st.none() | st.integers(0, 10**15)),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(contract=valid)
def test_what_is_stored_comes_back_with_the_same_hash(registry: Registry, contract: Contract) -> None:
    with Session(registry.engine) as session:
        tenant_id = add_tenant(session)
        contracts.store(session, tenant_id, contract, START)
        session.expire_all()
        stored = contracts.current(session, tenant_id)
        assert stored == contract
        assert stored.hash == contract.hash
        session.rollback()
