"""`holdfast evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from canaries.evaluation import DEPTH, read_judgements, read_queries
from canaries.evaluation import evaluate as measure
from cli.commands.search import Mode
from cli.formatting import facts
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import AsOf, Json, TenantOption, single
from cli.output import console, show, side_console
from registry import tenants
from retrieval.errors import FloorUnmet
from retrieval.opening import open_retrieval
from retrieval.search.query import SearchQuery
from retrieval.search.searcher import Searcher

app = single()


@app.command()
def evaluate(
    tenant: TenantOption,
    queries: Annotated[
        Path, typer.Option(metavar="Q.jsonl", help='{"_id", "text"} a line.', show_default=False)
    ],
    qrels: Annotated[
        Path, typer.Option(metavar="R.tsv", help="query-id, corpus-id, score.", show_default=False)
    ],
    k: Annotated[
        int, typer.Option("--k", "-k", min=1, max=DEPTH, help="Depth of nDCG, recall and MRR.")
    ] = 10,
    mode: Annotated[Mode, typer.Option(help="Which side ranks.")] = Mode.HYBRID,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Measure search against judgements in BEIR's format: nDCG, recall, MRR of whole documents."""
    found = settings()
    configure(found, spoken=False)
    texts, judgements = read_queries(queries), read_judgements(qrels)
    with opened_registry(found) as registry, registry.read() as session:
        owner = tenants.find_active(session, tenant)
    retrieval = open_retrieval(found)
    judged = {judgement.query for judgement in judgements if judgement.relevance > 0}
    try:
        with _progress(len(judged)) as advance:
            ranking = _ranking(retrieval.searcher, owner.id, mode, as_of)
            result: dict[str, Any] = {**measure(ranking, texts, judgements, advance, k=k), "mode": mode.value}
    finally:
        retrieval.close()
    result["queries"] = int(result["queries"])
    show(as_json, result, lambda: console().print(facts(_facts(result))))


def _facts(result: dict[str, Any]) -> list[tuple[str, object]]:
    return [(name, f"{value:.4f}" if isinstance(value, float) else value) for name, value in result.items()]


def _ranking(
    searcher: Searcher, tenant_id: str, mode: Mode, as_of: int | None
) -> Callable[[str], Sequence[tuple[str, float]]]:
    def ranked(text: str) -> list[tuple[str, float]]:
        query = SearchQuery(text, DEPTH, mode.value, "document")
        try:
            answer = searcher.search(tenant_id, query, as_of=as_of)
        except FloorUnmet as refused:
            # The ranking is what is measured; refusing to show it is the contract's business.
            answer = refused.answer
        return [(hit.document, hit.score) for hit in answer.hits]

    return ranked


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar of queries on a terminal; nothing elsewhere."""
    side = side_console()
    with Progress(console=side, transient=True, disable=not side.is_terminal) as bar:
        task = bar.add_task("queries", total=total)
        yield lambda by: bar.advance(task, by)
