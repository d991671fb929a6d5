"""Dagster displays and schedules; the registry decides. Whatever Dagster is made to do, nothing slips past."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pipelines.definitions import definitions
from pipelines.ingestion.ingestion import Ingestion
from pipelines.orchestration import resources
from pipelines.orchestration.build_assets import REINDEX_TAG
from pipelines.orchestration.partitions import synchronise
from pipelines.orchestration.schedules import (
    daily_canaries_schedule,
    daily_owners_schedule,
    ingest_schedule,
)
from pipelines.orchestration.sensors import deliver_alerts, source_changes
from registry import dead_letters, owners, runs, tenants
from registry.verdicts import CHECKS
from tests.support.fake_encoder import FakeEncoder
from tests.support.world import TOPICS, World, empty_world, migrated_home, published, text_about, world

__all__ = ["empty_world", "migrated_home", "published", "world"]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "dagster"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder), overrides={"telemetry": {"enabled": False}}) as instance:
        yield instance


@pytest.fixture
def job(published: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(resources, "opened", lambda _: published.ingestion)
    return Job(published, instance)


class Job:
    """Launches as the UI would, against a world whose ingestion the resource opens."""

    def __init__(self, world: World, instance: dg.DagsterInstance) -> None:
        self.world = world
        self.instance = instance
        synchronise(instance, world.registry)

    def launch(self, name: str = "ingest", only: str = "") -> dg.ExecuteInProcessResult:
        found = definitions.resolve_job_def(name)
        if only:
            found = definitions.resolve_implicit_global_asset_job_def().get_subset(
                asset_selection={dg.AssetKey(only)}
            )
        return found.execute_in_process(
            partition_key=self.world.tenant, instance=self.instance, raise_on_error=False
        )

    def live(self) -> int:
        live = self.world.live()
        assert live is not None
        return live.number


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    return {e.check_name: e.passed for e in result.get_asset_check_evaluations()}


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    found = {}
    for event in result.all_events:
        if event.event_type_value == "STEP_FAILURE":
            error: Any = event.event_specific_data
            causes = [error.error.message, error.error.cause.message if error.error.cause else ""]
            found[str(event.step_key)] = " ".join(causes)
    return found


def change(world: World, *, spoil: bool = False) -> None:
    """A new document; with `spoil`, canaries that the candidate cannot answer."""
    world.commit({"d10": text_about(TOPICS[10])})
    if spoil:
        world.set_contract(recall_floor=1.0, mrr_floor=1.0)
        world.ask_about({f"what does the {TOPICS[1]} file say": ["d0"]})


def test_every_name_is_the_design_s() -> None:
    assets = {key.to_user_string() for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    assert assets == {
        "captured_changes", "documents", "chunks", "embeddings", "candidate_index", "published_index",
        "canary_results", "source_owners",
    }  # fmt: skip
    graph = definitions.resolve_asset_graph()
    named = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    assert named == {("candidate_index", check) for check in CHECKS} | {
        ("captured_changes", "source_healthy"),
        ("captured_changes", "deletions_expected"),
        ("published_index", "fresh"),
        ("canary_results", "live_canary_recall"),
        ("source_owners", "sources_owned"),
    }
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, f"{key} has no owner"
        assert node.description, f"{key} has no description"
        assert node.kinds, f"{key} has no kind"
        assert (node.partitions_def is None) == (key == dg.AssetKey("source_owners"))


def test_a_change_is_published_with_numbers_that_the_ui_plots(job: Job) -> None:
    change(job.world)
    result = job.launch()
    assert result.success, failures(result)
    assert checks(result) == dict.fromkeys([*CHECKS, "source_healthy", "deletions_expected", "fresh"], True)
    assert job.live() == 2
    metadata = {
        event.step_materialization_data.materialization.asset_key.to_user_string(): dict(
            event.step_materialization_data.materialization.metadata
        )
        for event in result.all_events
        if event.event_type_value == "ASSET_MATERIALIZATION"
    }
    numbers = {
        name: {k for k, v in values.items() if isinstance(v.value, int | float)}
        for name, values in metadata.items()
    }
    assert {"documents", "added", "changed", "deleted", "quarantined"} <= numbers["documents"]
    assert {"chunks", "added", "removed", "unchanged"} <= numbers["chunks"]
    assert {"embedded", "cache_hits", "seconds"} <= numbers["embeddings"]
    assert metadata["documents"]["added"].value == 1
    assert metadata["published_index"]["generation"].value == 2
    assert metadata["published_index"]["position/docs"].value == "c0002"


def test_a_run_with_nothing_to_do_skips_the_build_and_what_follows(job: Job) -> None:
    result = job.launch()
    assert result.success
    skipped = {e.step_key for e in result.all_events if e.event_type_value == "STEP_SKIPPED"}
    assert {"gate", "published_index"} <= skipped
    with job.world.reading() as session:
        outcome = runs.outcome(session, result.run_id)
    assert outcome is not None
    assert outcome["status"] == "unchanged"
    assert outcome["embedded"] == 0
    assert job.live() == 1


def test_a_refused_candidate_fails_the_run_and_nothing_else_publishes_it(job: Job) -> None:
    change(job.world, spoil=True)
    result = job.launch()
    assert not result.success
    assert checks(result)["canary_recall"] is False
    assert job.live() == 1
    assert job.world.found(f"{TOPICS[3]} file")[0] == "d3"

    alone = job.launch(only="published_index")
    assert not alone.success
    assert "no candidate to publish" in failures(alone)["published_index"]

    again = job.launch()
    assert not again.success
    assert "was rejected and neither its pins" in failures(again)["build"]
    assert job.live() == 1


def test_publishing_alone_never_skips_the_gate(job: Job) -> None:
    change(job.world)
    job.world.capture()
    outcome = job.world.build("elsewhere")
    assert outcome.status == "published"
    alone = job.launch(only="published_index")
    assert not alone.success
    assert "has no verdict of" in failures(alone)["published_index"]
    assert job.live() == 1


def test_an_old_run_executed_again_publishes_nothing_stale(job: Job) -> None:
    change(job.world)
    first = job.launch()
    assert first.success
    job.world.commit({"d11": text_about(TOPICS[11])})
    assert job.launch().success
    assert job.live() == 3
    reexecuted = job.launch(only="published_index")
    assert not reexecuted.success
    assert job.live() == 3


def test_a_build_cannot_be_taken_apart(job: Job) -> None:
    with pytest.raises(dg.DagsterInvalidSubsetError):
        job.launch(only="chunks")


def test_two_runs_of_one_tenant_at_once_publish_once(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    change(job.world)
    inside, proceed = threading.Event(), threading.Event()
    judge = Ingestion.judge

    def slow_judge(self: Ingestion, tenant_id: str, number: int) -> Any:
        inside.set()
        assert proceed.wait(60)
        return judge(self, tenant_id, number)

    monkeypatch.setattr(Ingestion, "judge", slow_judge)
    results: list[dg.ExecuteInProcessResult] = []
    first = threading.Thread(target=lambda: results.append(job.launch()))
    first.start()
    assert inside.wait(60)
    second = job.launch()
    proceed.set()
    first.join(60)
    assert not second.success
    assert "another ingest of tenant acme is running" in failures(second)["build"]
    assert results[0].success
    assert job.live() == 2


def test_the_sensor_asks_once_and_again_after_a_pause(job: Job) -> None:
    assert requests(source_changes, job) == []
    change(job.world)
    job.world.capture()
    (first,) = requests(source_changes, job)
    assert first.partition_key == job.world.tenant
    assert requests(source_changes, job) == []
    job.world.clock.advance(31)
    (second,) = requests(source_changes, job)
    assert second.run_key != first.run_key, "a failed run would wedge its tenant"
    assert job.launch().success
    job.world.clock.advance(3600)
    assert requests(source_changes, job) == []


def test_a_held_or_suspended_tenant_asks_for_nothing(job: Job) -> None:
    change(job.world)
    job.world.capture()
    with job.world.registry.write() as session:
        tenants.suspend(session, tenants.find(session, job.world.tenant), True)
    assert requests(source_changes, job) == []
    assert job.world.tenant not in job.instance.get_dynamic_partitions("tenant")


def requests(sensor: dg.SensorDefinition, job: Job) -> list[Any]:
    with dg.build_sensor_context(
        job.instance, definitions=definitions, resources={"ingestion": resources.IngestionResource()}
    ) as context:
        result: Any = sensor(context)
        return list(result.run_requests or [])


def test_schedules_ask_for_a_run_of_each_tenant(job: Job) -> None:
    moment = datetime.fromisoformat("2026-01-02T06:00:00+00:00")
    resource = {"ingestion": resources.IngestionResource()}
    with dg.build_schedule_context(
        job.instance,
        scheduled_execution_time=moment,
        resources=resource,
        repository_def=definitions.get_repository_def(),
    ) as context:
        daily = list(daily_canaries_schedule(context))
        assert [r.partition_key for r in daily] == [job.world.tenant]
        assert not list(ingest_schedule(context))
        change(job.world)
        job.world.capture()
        (hourly,) = list(ingest_schedule(context))
    assert hourly.partition_key == job.world.tenant


def test_a_lost_answer_is_a_failed_check_and_a_crash_is_not(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = job.launch("daily_canaries")
    assert result.success, failures(result)
    assert checks(result)["live_canary_recall"] is True
    job.world.set_contract(recall_floor=1.0)
    job.world.ask_about({f"what does the {TOPICS[1]} file say": ["d0"], "zzz": ["d1"]})
    job.world.set_contract(mrr_floor=1.0)
    red = job.launch("daily_canaries")
    assert not red.success
    assert checks(red)["live_canary_recall"] is False

    def crash(*_: Any, **__: Any) -> Any:
        from retrieval.errors import IndexUnavailable

        raise IndexUnavailable("the disk is gone")

    monkeypatch.setattr(type(job.world.searcher), "search", crash)
    crashed = job.launch("daily_canaries")
    assert not crashed.success
    assert "live_canary_recall" not in checks(crashed)
    assert "could not be asked" in failures(crashed)["canary_results"]


def test_alerts_are_delivered_and_failed_runs_are_told(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    change(job.world, spoil=True)
    job.launch()
    with dg.build_sensor_context(
        job.instance, definitions=definitions, resources={"ingestion": resources.IngestionResource()}
    ) as context:
        deliver_alerts.evaluate_tick(context)
    assert "was rejected" in caplog.text
    assert all(alert.delivered_at is not None for alert in job.world.alerts())


def test_changed_canaries_judge_again_what_is_live_and_build_nothing(job: Job) -> None:
    job.world.ask_about({f"what does the {TOPICS[2]} file say": ["d2"]})
    encoded = len(job.world.encoder.encoded)
    result = job.launch()
    assert result.success, failures(result)
    assert checks(result)["canary_recall"] is True
    assert job.live() == 1
    with job.world.reading() as session:
        outcome = runs.outcome(session, result.run_id)
    assert outcome is not None
    assert outcome["status"] == "unchanged"
    assert "canary_recall" not in checks(job.launch()), "judged twice under one contract"

    job.world.set_contract(mrr_floor=1.0)
    job.world.ask_about({f"what does the {TOPICS[1]} file say": ["d0"]})
    red = job.launch()
    assert not red.success
    assert checks(red)["canary_recall"] is False
    assert job.live() == 1
    assert job.world.alerts("live_below_contract")
    texts_of_queries = job.world.encoder.encoded[encoded:]
    assert all("file say" in text or text in job.world.encoder.encoded[:encoded] for text in texts_of_queries)


def test_too_many_documents_in_quarantine_are_an_unhealthy_source(job: Job) -> None:
    job.world.commit(unreadable={f"broken{n}": "cannot be read" for n in range(3)})
    assert job.launch().success
    result = job.launch()
    assert checks(result)["source_healthy"] is False
    said = {e.check_name: e.description for e in result.get_asset_check_evaluations()}
    assert said["source_healthy"] == (
        "23% of the documents of source docs are in quarantine: `holdfast deadletter list`"
    )
    assert metadata_of(result, "captured_changes")["quarantined/docs"] == 3
    (alert,) = job.world.alerts("too_many_in_quarantine")
    assert "23% of the documents of source docs" in alert.subject
    job.world.set_contract(quarantine_share=0.5)
    assert checks(job.launch())["source_healthy"] is True
    job.world.set_contract(quarantine_share=0.1)
    with job.world.registry.write() as session:
        dead_letters.drop(session, job.world.tenant, "ann", job.world.clock(), ["broken0", "broken1"])
    mended = job.launch()
    assert checks(mended)["source_healthy"] is True, "what a person dropped no longer counts"
    numbers = metadata_of(mended, "captured_changes")
    assert (numbers["quarantined/docs"], numbers["dropped/docs"]) == (1, 2)


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_the_daily_job_looks_at_sources_too(job: Job) -> None:
    job.world.script().fail("connection refused")
    result = job.launch("daily_canaries")
    assert result.success, failures(result)
    assert checks(result)["source_healthy"] is False, "a source that is down asks for no run of its own"
    assert checks(result)["live_canary_recall"] is True


def test_a_tenant_that_was_never_published_has_its_daily_run(job: Job) -> None:
    other = job.world.add_tenant("other")
    job.world.add_tenant("empty")
    job.world.tenant = other
    job.world.add_source("second")
    with dg.build_schedule_context(
        job.instance,
        scheduled_execution_time=datetime.fromisoformat("2026-01-02T06:00:00+00:00"),
        resources={"ingestion": resources.IngestionResource()},
        repository_def=definitions.get_repository_def(),
    ) as context:
        asked = {request.partition_key.split("-")[0] for request in daily_canaries_schedule(context)}
    assert asked == {"acme", "other"}
    job.world.commit({"e0": text_about(TOPICS[11])}, source="second")
    job.world.capture()
    job.world.clock.advance(10**6)
    assert checks(job.launch("daily_canaries"))["fresh"] is False


def owners_run(job: Job) -> dg.ExecuteInProcessResult:
    found = definitions.resolve_job_def("daily_owners")
    return found.execute_in_process(instance=job.instance, raise_on_error=False)


def test_orphaned_sources_are_listed_daily_with_what_they_cost(job: Job) -> None:
    result = owners_run(job)
    assert result.success, failures(result)
    assert checks(result) == {"sources_owned": True}
    with job.world.registry.write() as session:
        owners.suspend(session, "o@example.org", "ann", job.world.clock())
    result = owners_run(job)
    assert result.success, "an orphan stops nothing"
    (evaluation,) = result.get_asset_check_evaluations()
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "acme: docs" in str(evaluation.description)
    numbers = metadata_of(result, "source_owners")
    assert (numbers["sources"], numbers["orphaned"], numbers["orphaned_documents"]) == (1, 1, 10)
    assert numbers["orphaned_content_bytes"] > 1000
    assert numbers["orphaned_index_bytes"] > 1000
    assert numbers["orphaned_embedded_texts_30d"] > 0
    assert "| acme: docs | o@example.org |" in numbers["orphans"]
    owners_run(job)
    (alert,) = job.world.alerts("source_orphaned")
    assert "holdfast owner list" in alert.subject


def test_the_sources_of_a_suspended_tenant_are_listed_though_it_has_no_partition(job: Job) -> None:
    with job.world.registry.write() as session:
        tenants.suspend(session, tenants.find(session, job.world.tenant), True)
    synchronise(job.instance, job.world.registry)
    result = owners_run(job)
    assert checks(result) == {"sources_owned": False}
    (evaluation,) = result.get_asset_check_evaluations()
    assert "its tenant is suspended" in str(evaluation.description)


def test_owners_are_looked_at_by_one_run_a_day(job: Job) -> None:
    moment = datetime.fromisoformat("2026-01-02T06:30:00+00:00")
    with dg.build_schedule_context(job.instance, scheduled_execution_time=moment) as context:
        data = daily_owners_schedule.evaluate_tick(context)
    (request,) = data.run_requests or []
    assert request.partition_key is None


def test_a_tagged_run_builds_everything_anew(job: Job) -> None:
    found = definitions.resolve_job_def("ingest")
    result = found.execute_in_process(
        partition_key=job.world.tenant,
        instance=job.instance,
        raise_on_error=False,
        tags={REINDEX_TAG: "true"},
    )
    assert result.success, failures(result)
    assert job.live() == 2
    with job.world.reading() as session:
        outcome = runs.outcome(session, result.run_id)
    assert outcome is not None
    assert (outcome["embedded"], outcome["work"]["reindexed"]) == (0, "asked for")


def test_a_long_stage_is_observed_while_it_runs(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.orchestration.log_progress.OBSERVED_EVERY", 0.0)
    job.world.use_encoder(FakeEncoder("other"))
    result = job.launch()
    assert result.success, failures(result)
    seen: dict[str, list[dict[str, Any]]] = {}
    for event in result.all_events:
        if event.event_type_value == "ASSET_OBSERVATION":
            observation: Any = event.event_specific_data
            found = observation.asset_observation
            assert found.partition == job.world.tenant
            numbers = {name: value.value for name, value in found.metadata.items()}
            seen.setdefault(found.asset_key.to_user_string(), []).append(numbers)
    assert set(seen) == {"embeddings", "candidate_index"}, "nothing had to be parsed"
    last = seen["embeddings"][-1]
    assert set(last) == {"done", "left", "per_second", "eta_seconds"}
    assert (last["left"], last["eta_seconds"]) == (0, 0.0)
    assert len(seen["candidate_index"]) <= 10
