"""The gate and the daily canaries as Dagster asset checks: the only place here that imports Dagster."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import dagster as dg

from canaries.daily import DailyResult
from canaries.naming import expected, in_words
from registry.verdicts import CHECKS, Verdict

DESCRIPTIONS = {
    "embedding_model_matches": "The vectors are of the model that stamps them, by re-encoding a sample.",
    "index_reconciles": "The index holds exactly the points that the registry says, by digest.",
    "chunk_count_holds": "No text went missing without a deletion or an edit to explain it.",
    "lexical_parity": "The lexical side scores as BM25 does, by an independent oracle.",
    "canary_recall": "Known answers are found, by the floor and against the live generation.",
    "canary_coverage": "The canaries still ask for documents that are there.",
}


class Gate(Protocol):
    """What can judge the candidate of a tenant that a run built."""

    def judge_run(self, tenant_id: str, run: str) -> list[Verdict]: ...


def check_spec(
    name: str,
    asset: str,
    partitions: dg.PartitionsDefinition,
    description: str,
    *,
    blocking: bool = False,
) -> dg.AssetCheckSpec:
    """A partitioned check: without partitions one tenant's pass would hide another's failure.

    Dagster calls that parameter a preview: its version is pinned exactly, and the warning is not shown.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name, asset=asset, partitions_def=partitions, description=description, blocking=blocking
        )


def check_result(verdict: Verdict) -> dg.AssetCheckResult:
    """A verdict as Dagster shows it. What does not hold back is a warning: visible, never green."""
    numbers = {n: v for n, v in verdict.details.items() if isinstance(v, int | float | str) and v is not None}
    return dg.AssetCheckResult(
        check_name=verdict.name,
        asset_key="candidate_index",
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR if verdict.blocking else dg.AssetCheckSeverity.WARN,
        description=_described(verdict.summary, verdict.details.get("red_canaries", ())),
        metadata={**numbers, **_named(verdict.details.get("red_canaries", ()))},
    )


def _described(summary: str, red: Sequence[Mapping[str, Any]]) -> str:
    """A summary with the canaries behind it, in words: an id says nothing to whoever wrote the question."""
    return "\n".join([summary, *(f"- {in_words(one)}" for one in red)])


def _named(red: Sequence[Mapping[str, Any]]) -> dict[str, dg.TableMetadataValue]:
    """Red canaries as a table of the UI."""
    if not red:
        return {}
    rows = [
        dg.TableRecord(
            {"question": one["query"], "expects": expected(one), "why": one["why"], "canary": one["id"]}
        )
        for one in red
    ]
    return {"red canaries": dg.MetadataValue.table(rows)}


def candidate_checks(partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The six blocking checks on `candidate_index`, as one step: they look at one candidate at one time."""

    @dg.multi_asset_check(
        name="gate",
        specs=[
            check_spec(name, "candidate_index", partitions, DESCRIPTIONS[name], blocking=True)
            for name in CHECKS
        ],
        required_resource_keys={"ingestion"},
    )
    def gate(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        judge: Gate = context.resources.ingestion
        for verdict in judge.judge_run(context.partition_key, context.run.run_id):
            yield check_result(verdict)

    return gate


def live_recall_result(result: DailyResult) -> dg.AssetCheckResult:
    """The day's canaries as a blocking check. Unguarded is a warning: there was nothing to ask."""
    nothing_asked = result.status in ("unguarded", "unpublished")
    severity = dg.AssetCheckSeverity.WARN if nothing_asked else dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(
        check_name="live_canary_recall",
        passed=result.passed,
        severity=severity,
        description=_described(
            "; ".join(result.faults) or f"{result.status}: {result.queries} canaries asked",
            result.red_canaries,
        ),
        metadata={**daily_metadata(result), **_named(result.red_canaries)},
    )


def daily_metadata(result: DailyResult) -> dict[str, Any]:
    """The numbers that the UI plots."""
    numbers: dict[str, Any] = {
        "queries": result.queries,
        "excused": result.excused,
        "lost": len(result.lost),
        "generation": result.generation or 0,
    }
    if result.recall is not None and result.mrr is not None:
        numbers |= {"recall": result.recall, "mrr": result.mrr}
    return numbers
