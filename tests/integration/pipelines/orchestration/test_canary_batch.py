"""The day's canaries of all tenants in one run: what each tenant's own run would have recorded, and no less."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import definitions
from pipelines.orchestration import partitions, resources, schedules
from retrieval.errors import IndexUnavailable
from tests.support.world import World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]

CHECK = dg.AssetCheckKey(dg.AssetKey("canary_results"), "live_canary_recall")
TOPIC = "zephyr"


@pytest.fixture
def instance(
    tmp_path: Path, published: World, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setattr(resources, "opened", lambda _: published.ingestion)
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}}) as instance:
        partitions.synchronise(instance, published.registry)
        yield instance


def add_served(world: World, name: str) -> str:
    """Another tenant with two documents, published, and a canary that finds one."""
    tenant = world.add_tenant(name)
    world.add_source(name)
    world.commit({"wanted": text_about(TOPIC), "other": text_about("granite")}, source=name)
    world.ask_about({f"what does the {TOPIC} file say": ["wanted"]})
    assert world.run().status == "published"
    return tenant


def launch(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = definitions.resolve_job_def("daily_canaries_of_all")
    return job.execute_in_process(instance=instance, raise_on_error=False)


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str | None, bool]:
    found = (
        e.event_specific_data for e in result.all_events if e.event_type_value == "ASSET_CHECK_EVALUATION"
    )
    return {e.partition: e.passed for e in found if e.asset_check_key == CHECK}  # type: ignore[union-attr]


def test_each_tenant_has_its_own_results_on_the_assets_that_people_watch(
    published: World, instance: dg.DagsterInstance
) -> None:
    first = published.tenant
    second = add_served(published, "second")
    result = launch(instance)
    assert result.success
    assert verdicts(result) == {first: True, second: True}
    for asset in ("canary_results", "captured_changes"):
        assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {first, second}
    checked = {
        (e.event_specific_data.check_name, e.event_specific_data.partition)  # type: ignore[union-attr]
        for e in result.all_events
        if e.event_type_value == "ASSET_CHECK_EVALUATION"
    }
    names = ("source_healthy", "deletions_expected", "live_canary_recall", "fresh")
    assert checked == {(name, tenant) for name in names for tenant in (first, second)}


def test_one_tenant_s_crash_or_loss_is_its_own_and_the_run_is_red(
    published: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = published.tenant
    red = add_served(published, "red")
    green = add_served(published, "green")
    search = type(published.searcher).search

    def failing(self: Any, tenant_id: str, *arguments: Any, **named: Any) -> Any:
        if tenant_id == crashing:
            raise IndexUnavailable("the disk is gone")
        return search(self, tenant_id, *arguments, **named)

    monkeypatch.setattr(type(published.searcher), "search", failing)
    published.tenant = red
    published.set_contract(mrr_floor=1.0)
    published.ask_about({f"what does the {TOPIC} file say": ["other"]})
    result = launch(instance)
    assert not result.success
    assert verdicts(result) == {red: False, green: True}, "what crashed says nothing about recall"
    (failure,) = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    metadata = failure.event_specific_data.user_failure_data.metadata  # type: ignore[union-attr]
    assert (metadata["red"].value, metadata["crashed"].value) == (red, crashing)
    published.tenant = crashing
    (alert,) = published.alerts("canary_crashed")
    assert "could not be asked" in alert.subject


@pytest.mark.parametrize(("tenants", "apart"), [(1, True), (3, False)])
def test_few_tenants_have_a_run_each_and_many_share_one(
    published: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, tenants: int, apart: bool
) -> None:
    monkeypatch.setattr(schedules, "RUNS_A_DAY", 2)
    for n in range(1, tenants):
        add_served(published, f"tenant{n}")
    moment = datetime.fromisoformat("2026-01-02T06:00:00+00:00")
    resource = {"ingestion": resources.IngestionResource()}
    with dg.build_schedule_context(instance, scheduled_execution_time=moment, resources=resource) as context:
        one_each = list(schedules.daily_canaries_schedule(context))
        together = list(schedules.daily_canaries_of_all_schedule(context))
    assert (len(one_each), len(together)) == ((tenants, 0) if apart else (0, 1))
