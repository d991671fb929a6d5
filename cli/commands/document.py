"""`holdfast document …`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

import typer

from cli.formatting import facts, plural, short, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import AsOf, Json, SourceOption, TenantOption, commands
from cli.output import console, note, show
from registry import tenants
from retrieval import documents
from retrieval.documents import ListedDocument, ShownDocument, Version
from retrieval.errors import NothingPublished
from retrieval.expected import version_of

app = commands("A tenant's documents as they are served.")
Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The document's key: a path, or a row's key.", show_default=False)
]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("list")
def list_documents(
    tenant: TenantOption, as_of: AsOf = None, source: SourceOption = None, as_json: Json = False
) -> None:
    """Every document of the live generation: served, stale, quarantined, or hidden since it was deleted."""
    with opened_registry() as registry, registry.read() as session:
        try:
            found = documents.listed(session, tenants.find(session, tenant).id, as_of, source)
        except NothingPublished:
            found = []

    def render() -> None:
        columns = ("document", "source", "?version", "#chunks", "state")
        rows = [(d.document, d.source, d.version, d.chunks, status(d.state)) for d in found]
        console().print(table(columns, rows))
        counts = ", ".join(f"{count} {state}" for state, count in Counter(d.state for d in found).items())
        note(
            f"{plural(len(found), 'document')}" + (f": {counts}" if counts else "; nothing is published yet")
        )
        for document in found:
            if document.error:
                note(f"{document.document}: {document.error}", "yellow")

    show(as_json, [_listed(document) for document in found], render)


def _listed(found: ListedDocument) -> dict[str, Any]:
    return {
        "document": found.document,
        "source": found.source,
        "version": found.version,
        "chunks": found.chunks,
        "state": found.state,
        **({"error": found.error} if found.error else {}),
    }


@app.command("show")
def show_document(
    key: Key,
    tenant: TenantOption,
    as_of: AsOf = None,
    source: SourceOption = None,
    as_json: Json = False,
) -> None:
    """One document: what is served of it, and its chunks."""
    with opened_registry() as registry, registry.read() as session:
        found = documents.shown(session, tenants.find(session, tenant).id, key, as_of, source)
    text = _text(found)

    def render() -> None:
        listed = found.listed
        pairs = [
            ("document", key),
            ("title", found.title),
            ("source", f"{listed.source} @ {found.position}"),
            ("version", listed.version),
            ("state", status(listed.state)),
            ("problem", listed.error),
            ("uri", found.uri),
            *((f"metadata {name}", str(value)) for name, value in found.metadata.items()),
            ("chunks", len(found.chunks)),
        ]
        console().print(facts(pair for pair in pairs if pair[1] != ""))
        console().print()
        console().print(text, markup=False, soft_wrap=True)

    show(as_json, _shown(found, text), render)


def _shown(found: ShownDocument, text: str) -> dict[str, Any]:
    return {
        **_listed(found.listed),
        "generation": found.generation,
        "position": found.position,
        "title": found.title,
        "uri": found.uri,
        "metadata": found.metadata,
        "text": text,
        "chunks": [{"chunk_id": chunk_id, "text": chunk} for chunk_id, chunk in found.chunks],
    }


def _text(found: ShownDocument) -> str:
    """The stored content where it is text, else what was read out of it."""
    from pipelines.errors import ParseError
    from pipelines.parsing.decoding import decode

    joined = "\n\n".join(text for _, text in found.chunks)
    if not found.media_type.startswith("text/"):
        return joined
    try:
        return found.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    try:
        return decode(found.content)
    except ParseError:
        return joined


@app.command()
def history(key: Key, tenant: TenantOption, source: SourceOption = None, as_json: Json = False) -> None:
    """Every captured version of a document, oldest first, and the generations that serve it."""
    with opened_registry() as registry, registry.read() as session:
        found = documents.history(session, tenants.find(session, tenant).id, key, source)

    def render() -> None:
        columns = (
            "source",
            "committed",
            "position",
            "change",
            "version",
            "~in generations",
            "?#bytes",
            "?~title",
        )
        console().print(table(columns, [_history_line(version) for version in found]))

    show(as_json, [_history(version) for version in found], render)


def _history_line(version: Version) -> tuple[object, ...]:
    change, shown_in = version.change, ", ".join(map(str, version.generations))
    op = "moved away" if change.moved else change.op
    position = short(version.commit.position)
    name = version_of(change.fingerprint) if change.fingerprint else None
    return (
        version.source,
        version.commit.committed_at,
        position,
        op,
        name,
        shown_in,
        change.size,
        change.title,
    )


def _history(version: Version) -> dict[str, Any]:
    change, commit = version.change, version.commit
    return {
        "source": version.source,
        "position": commit.position,
        "epoch": commit.epoch,
        "committed_at": commit.committed_at,
        "captured_at": commit.captured_at,
        "change": change.op,
        "moved": change.moved,
        "version": version_of(change.fingerprint) if change.fingerprint else None,
        "title": change.title,
        "bytes": change.size,
        "error": change.error,
        "generations": list(version.generations),
    }
