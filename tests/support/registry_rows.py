"""A hand that writes the registry's change log as capture would, and builds generations on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from registry import canaries as canary_rows
from registry import generations, leases, models, sources, tenants, verdicts
from registry.changelog import PinnedAt
from registry.contracts import current
from registry.schema import Change, Content, Generation, Head, Source, SourceCommit, TenantCommit
from registry.verdicts import CHECKS, Verdict

START = datetime(2026, 1, 1, tzinfo=UTC)


class Model:
    """An embedding model's identity."""

    id = "model-1"
    name, revision, weights_sha256, dimension = "model", "1", "0" * 64, 384
    pooling, normalisation, max_tokens, runtime, precision = "mean", "l2", 256, "torch", "fp32"


def add_tenant(session: Session, name: str = "acme") -> str:
    """A new tenant's id."""
    return tenants.create(session, name, START).id


def add_source(session: Session, tenant_id: str | None, name: str = "docs") -> Source:
    """A new source."""
    return sources.add(
        session, name=name, tenant_id=tenant_id, kind="folder", uri="/somewhere", owner="o@example.org",
        options={"a": "b"}, consistency="observed", now=START,
    )  # fmt: skip


def write_commit(
    session: Session,
    source: Source,
    scope: str,
    *,
    upserts: Mapping[str, str] | None = None,
    deletes: Sequence[str] = (),
    moves: Mapping[str, tuple[str, str]] | None = None,
    hold: str = "",
    new_epoch: bool = False,
) -> int:
    """Append a commit and give its number. `upserts`: key to content; `moves`: old key to new and content."""
    source.last_seq += 1
    source.epoch += new_epoch
    seq = source.last_seq
    moves = moves or {}
    arriving = {**(upserts or {}), **dict(moves.values())}
    at = START + timedelta(minutes=seq)
    shared = {"source_id": source.id, "seq": seq, "epoch": source.epoch, "position": f"p{seq}"}
    times = {"committed_at": at, "captured_at": at}
    session.add(SourceCommit(snapshot=new_epoch, **shared, **times))
    counts = {"upserts": len(arriving), "deletes": len(deletes) + len(moves), "hold": hold}
    session.add(TenantCommit(scope=scope, **counts, **shared, **times))
    gone = {**dict.fromkeys(deletes, ""), **{old: content for old, (_, content) in moves.items()}}
    for key, content in gone.items():
        session.add(
            Change(source_id=source.id, scope=scope, seq=seq, key=key, op="delete", meta={},
                   moved=key in moves, content_sha256=content)
        )  # fmt: skip
        if head := session.get(Head, (source.id, key)):
            session.delete(head)
    session.flush()
    for key, content in arriving.items():
        session.add(
            Change(
                source_id=source.id,
                scope=scope,
                seq=seq,
                key=key,
                op="upsert",
                meta={},
                content_sha256=content,
            )
        )
        session.merge(
            Head(
                source_id=source.id,
                key=key,
                scope=scope,
                seq=seq,
                fingerprint=content,
                content_sha256=content,
            )
        )
        session.merge(Content(scope=scope, sha256=content, body=content.encode()))
    session.flush()
    return seq


def begin_generation(
    session: Session,
    tenant_id: str,
    *,
    digest: str = "",
    token: int | None = None,
    pins: Sequence[PinnedAt] = (),
) -> Generation:
    """A sealed candidate on the live generation, of a run that holds the lease (or of one with `token`)."""
    models.register(session, Model(), START)
    live = generations.live(session, tenant_id)
    held = token or leases.acquire(
        session, leases.ingest_lease(tenant_id), leases.Holder.current("run"), 30, START
    )
    candidate = generations.begin(
        session, tenant_id, identity=f"identity-{digest}", base=live.number if live else None, build={},
        model_id=Model.id, average_length_step=0, pins=pins, fencing_token=held, run="run", now=START,
    )  # fmt: skip
    candidate.digest = digest or f"digest-{candidate.number}"
    session.flush()
    return candidate


def judge(session: Session, candidate: Generation, failing: Sequence[str] = ()) -> None:
    """Store a verdict of every check under the contract and canaries in force."""
    contract_hash = current(session, candidate.tenant_id).hash
    canary_hash = canary_rows.set_hash(canary_rows.of_tenant(session, candidate.tenant_id))
    found = [Verdict(name, name not in failing, "as told") for name in CHECKS]
    verdicts.store(session, candidate, contract_hash, canary_hash, found, START)
