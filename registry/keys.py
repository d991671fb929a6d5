"""Keys of the retrieval API: shown once, stored hashed, with a role and an expiry.

A key is `hf_<id>_<secret>`; the secret has 256 random bits, so a plain SHA-256 is enough to store it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from registry.errors import KeyRejected, NotFound, RegistryError
from registry.locking import lock_tenant
from registry.schema import ApiKey, Tenant

Role = Literal["reader", "search"]
ROLES: tuple[Role, ...] = get_args(Role)
KEY = re.compile(r"hf_([0-9a-f]{12})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: the only time that the whole of it is known."""

    id: str
    key: str
    role: str
    expires_at: datetime | None


def create(
    session: Session, tenant_id: str, now: datetime, role: str = "reader", expires_at: datetime | None = None
) -> NewKey:
    """Make a key. `reader` may read everything of its tenant, `search` may only search. Raises NotFound."""
    if role not in ROLES:
        raise RegistryError(f"{role!r} is no role of a key: one of {', '.join(ROLES)}")
    lock_tenant(session, tenant_id)
    identifier, secret = secrets.token_hex(6), secrets.token_hex(32)
    session.add(
        ApiKey(
            id=identifier,
            tenant_id=tenant_id,
            secret_sha256=_digest(secret),
            role=role,
            created_at=now,
            expires_at=expires_at,
        )
    )
    return NewKey(identifier, f"hf_{identifier}_{secret}", role, expires_at)


def revoke(session: Session, tenant_id: str, identifier: str, now: datetime) -> ApiKey:
    """Revoke a key, at once and for good. Raises NotFound."""
    found = session.get(ApiKey, identifier)
    if found is None or found.tenant_id != tenant_id:
        raise NotFound(f"tenant {tenant_id} has no key {identifier!r}: see `holdfast key list`")
    found.revoked_at = found.revoked_at or now
    return found


def of_tenant(session: Session, tenant_id: str) -> list[ApiKey]:
    """A tenant's keys, oldest first."""
    query = select(ApiKey).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.created_at, ApiKey.id)
    return list(session.scalars(query))


def authenticate(session: Session, key: str, now: datetime, role: Role = "search") -> Tenant:
    """The tenant that a key speaks for. Raises KeyRejected, whose `reason` says why."""
    parts = KEY.fullmatch(key)
    row = session.execute(_WITH_TENANT, {"id": parts[1]}).first() if parts else None
    found, tenant = row if row else (None, None)
    if parts is None or found is None or not hmac.compare_digest(found.secret_sha256, _digest(parts[2])):
        raise KeyRejected("unknown", "this key is not known")
    if found.revoked_at is not None:
        raise KeyRejected("revoked", f"key {found.id} was revoked on {found.revoked_at:%Y-%m-%d %H:%M} UTC")
    if found.expires_at is not None and found.expires_at <= now:
        raise KeyRejected("expired", f"key {found.id} expired on {found.expires_at:%Y-%m-%d %H:%M} UTC")
    if role == "reader" and found.role != "reader":
        raise KeyRejected("forbidden", f"key {found.id} has the role {found.role!r}: this needs 'reader'")
    if tenant is None or tenant.status != "active":
        raise KeyRejected("suspended", f"the tenant of key {found.id} is suspended")
    return tenant


# Built once: every request runs it.
_WITH_TENANT = (
    select(ApiKey, Tenant).join(Tenant, Tenant.id == ApiKey.tenant_id).where(ApiKey.id == bindparam("id"))
)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
