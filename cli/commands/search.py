"""`holdfast search`."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.text import Text

from cli.assignments import from_pairs
from cli.errors import WrongUse
from cli.formatting import short, span
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import AsOf, Json, TenantOption, single
from cli.output import console, note, show
from registry import tenants
from retrieval.api.schemas import SearchResponse
from retrieval.opening import open_retrieval
from retrieval.search.query import SearchQuery

app = single()
SHOWN_CHARACTERS = 320


class Mode(StrEnum):
    HYBRID = "hybrid"
    DENSE = "dense"
    LEXICAL = "lexical"


class Collapse(StrEnum):
    DOCUMENT = "document"


@app.command()
def search(
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="What to look for, in words.", show_default=False)
    ],
    tenant: TenantOption,
    k: Annotated[int, typer.Option("--k", "-k", metavar="N", help="How many hits, 1 to 1,000.")] = 10,
    mode: Annotated[Mode, typer.Option(help="Which side ranks.")] = Mode.HYBRID,
    collapse: Annotated[
        Collapse | None, typer.Option(help="`document`: the best chunk of each document.", show_default=False)
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="FIELD=VALUE", help="Only hits like this; VALUE as JSON or plain text."
        ),
    ] = None,
    as_of: AsOf = None,
    as_json: Json = False,
) -> None:
    """Search a tenant's documents, as POST /v1/search does for the holder of a key."""
    found = settings()
    configure(found, spoken=False)
    asked = SearchQuery(
        query,
        k,
        mode.value,
        "document" if collapse else None,
        _conditions(condition or []),
    )
    with opened_registry(found) as registry, registry.read() as session:
        owner = tenants.find(session, tenant)
    retrieval = open_retrieval(found)
    try:
        answer = retrieval.searcher.search(owner.id, asked, as_of=as_of)
    finally:
        retrieval.close()
    response = SearchResponse.model_validate({"request_id": uuid.uuid4().hex, **asdict(answer)})
    show(as_json, response.model_dump(mode="json"), lambda: _print(response))


def _conditions(pairs: list[str]) -> dict[str, Any]:
    values = from_pairs(pairs)
    for name, value in values.items():
        if isinstance(value, dict) and not set(value) <= {"gte", "gt", "lte", "lt"}:
            raise WrongUse(f"--filter {name}: a range has gte, gt, lte, lt, not {json.dumps(value)}")
    return values


def _print(answer: SearchResponse) -> None:
    for rank, hit in enumerate(answer.hits, start=1):
        title = Text.assemble(
            (f"{rank:>2}. ", "dim"), (hit.title, "bold"), ("  stale" if hit.stale else "", "yellow")
        )
        console().print(title)
        scores = (
            f"score {hit.score:.3f}" + _score("cosine", hit.dense_score) + _score("BM25", hit.lexical_score)
        )
        console().print(Text(f"    {hit.source}:{hit.document}  {scores}", "dim"), soft_wrap=True)
        text = " ".join(hit.text.split())
        console().print(Text(f"    {text[:SHOWN_CHARACTERS]}{'…' if len(text) > SHOWN_CHARACTERS else ''}\n"))
    if not answer.hits:
        console().print("nothing found")
    if not answer.floor.met:
        note("below the result floor: these hits may not answer the question", "yellow")
    places = ", ".join(f"{name} @ {short(position)}" for name, position in answer.sources.items())
    hidden = f", {answer.hidden_since} hidden since" if answer.hidden_since else ""
    took = f"{answer.timings['total_ms']:.0f} ms"
    note(f"generation {answer.generation} ({places}), {span(answer.age_seconds)} old{hidden}; {took}")


def _score(name: str, value: float | None) -> str:
    return "" if value is None else f", {name} {value:.3f}"
