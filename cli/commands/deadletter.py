"""`holdfast deadletter …`."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.errors import WrongUse
from cli.formatting import plural, short, status, table
from cli.logs import configure
from cli.opening import opened_registry, settings
from cli.options import Json, SourceOption, TenantOption, commands
from cli.output import console, note, show, warn
from registry import dead_letters, tenants
from registry.clock import utc_now
from registry.dead_letters import Letter
from retrieval.expected import version_of

app = commands("Documents in quarantine: what could not be read or parsed, and what to do about it.")
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="Documents by key.", show_default=False),
]
Waiting = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY", help="Documents by key; all that wait by default.", show_default=False),
]
SHOWN = 5
By = Annotated[str, typer.Option("--by", metavar="WHO", help="Who decided.", show_default="you")]


@app.callback()
def quietly() -> None:
    configure(settings(), spoken=False)


@app.command("list")
def list_letters(tenant: TenantOption, source: SourceOption = None, as_json: Json = False) -> None:
    """Each document's version that failed: where it was captured, why, how often, since when."""
    with opened_registry() as registry, registry.read() as session:
        owner = tenants.find(session, tenant)
        found = dead_letters.listed(session, owner.id, source)

    def render() -> None:
        if not found:
            console().print("no document is in quarantine")
            return
        columns = (
            "~document",
            "?source",
            "state",
            "~error",
            "?#attempts",
            "?last seen",
            "?first seen",
            "?position",
        )
        console().print(table(columns, [_line(letter) for letter in found]))
        note(f"holdfast deadletter retry|drop --tenant {owner.name} [KEY…]")

    show(as_json, [_as_json(letter) for letter in found], render)


def _line(letter: Letter) -> tuple[object, ...]:
    return (
        letter.document, letter.source, status(letter.state), letter.error, letter.attempts,
        letter.last_seen, letter.first_seen, short(letter.position),
    )  # fmt: skip


def _as_json(letter: Letter) -> dict[str, Any]:
    return {
        "document": letter.document,
        "source": letter.source,
        "version": version_of(letter.fingerprint),
        "position": letter.position,
        "committed_at": letter.committed_at,
        "state": letter.state,
        "error": letter.error,
        "attempts": letter.attempts,
        "first_seen": letter.first_seen,
        "last_seen": letter.last_seen,
        "unread": letter.unread,
        "decided_by": letter.decided_by,
    }


@app.command()
def retry(
    tenant: TenantOption,
    keys: Waiting = None,
    source: SourceOption = None,
    by: By = "",
    as_json: Json = False,
) -> None:
    """Try again at the next ingest. What was dropped is tried again too, where it is named.

    What a source could not read is not tried again: the source is looked at all the time. A retry of all says on
    stderr how many it left out, and why.
    """
    who = by or getpass.getuser()
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        before = dead_letters.listed(session, owner.id, source)
        found = dead_letters.retry(session, owner.id, who, utc_now(), keys or (), source)
        now = _now(dead_letters.listed(session, owner.id), found)
    if not keys:
        for text in _passed_over(before, found, owner.name):
            warn(text)
    if now or not before:
        _show(now, "to be tried again", f"Next: holdfast ingest --tenant {owner.name}", as_json)
    else:
        show(as_json, [], lambda: console().print("nothing to be tried again"))


@app.command()
def drop(
    tenant: TenantOption,
    keys: Keys = None,
    everything: Annotated[bool, typer.Option("--all", help="All that wait.")] = False,
    source: SourceOption = None,
    by: By = "",
    as_json: Json = False,
) -> None:
    """Leave these versions out for good. A new version of such a document is tried afresh.

    What is dropped no longer counts in the quarantine's share. An older version that is served goes on being
    served, marked stale, until its document is deleted.
    """
    if bool(keys) == everything:
        raise WrongUse("say which documents to drop: KEY…, or --all")
    who = by or getpass.getuser()
    with opened_registry() as registry, registry.write() as session:
        owner = tenants.find(session, tenant)
        found = dead_letters.drop(session, owner.id, who, utc_now(), keys or (), source)
        now = _now(dead_letters.listed(session, owner.id), found)
    _show(now, "dropped", f"holdfast deadletter retry --tenant {owner.name} KEY… takes that back", as_json)


def _passed_over(before: Sequence[Letter], chosen: Sequence[Letter], tenant: str) -> list[str]:
    """What a retry of all did not retry, and why."""
    ids = {letter.change_id for letter in chosen}
    left = [letter for letter in before if letter.change_id not in ids]
    unread = [letter for letter in left if letter.unread and letter.state != dead_letters.DROPPED]
    dropped = [letter for letter in left if letter.state == dead_letters.DROPPED]
    said = []
    if unread:
        said.append(
            f"{plural(len(unread), 'document')} not retried, the source itself could not read what is there: "
            f"mend it at the source, it is then captured by itself ({_some(unread)})"
        )
    if dropped:
        said.append(
            f"{plural(len(dropped), 'document')} not retried, dropped by hand: "
            f"holdfast deadletter retry --tenant {tenant} KEY takes that back ({_some(dropped)})"
        )
    return said


def _some(letters: Sequence[Letter]) -> str:
    more = f" and {len(letters) - SHOWN} more" if len(letters) > SHOWN else ""
    return ", ".join(letter.document for letter in letters[:SHOWN]) + more


def _now(listed: Sequence[Letter], chosen: Sequence[Letter]) -> list[Letter]:
    ids = {letter.change_id for letter in chosen}
    return [letter for letter in listed if letter.change_id in ids]


def _show(found: list[Letter], said: str, then: str, as_json: bool) -> None:
    def render() -> None:
        if not found:
            console().print("no document is in quarantine")
            return
        console().print(f"{plural(len(found), 'document')} {said}")
        note(then)

    show(as_json, [_as_json(letter) for letter in found], render)
