"""Everything that the registry can raise.

RegistryError
├── NotFound                  no such tenant, key, source, generation, document
├── AlreadyExists             the name is taken
├── InvalidContract           a contract's value is out of its range or unknown
├── KeyRejected               a key is unknown, revoked, expired, or its role is not enough
├── TenantSuspended           the tenant is suspended or erased
├── LeaseHeld                 somebody else holds the lease
├── LeaseLost                 the fencing token is no longer current
├── PublicationRefused        a candidate may not become live
├── RollbackRefused           there is nothing retained to roll back to
└── SchemaOutdated            the database's schema is not the one of this program
"""

from __future__ import annotations


class RegistryError(Exception):
    """The root of the room's errors."""


class NotFound(RegistryError):
    """There is no such thing."""


class AlreadyExists(RegistryError):
    """The name is taken."""


class InvalidContract(RegistryError):
    """A contract's value is out of its range or unknown."""


class KeyRejected(RegistryError):
    """A key is not good for this request. `reason`: unknown, revoked, expired, forbidden, suspended."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TenantSuspended(RegistryError):
    """The tenant is suspended or erased: nothing runs and nothing is served."""


class LeaseHeld(RegistryError):
    """Somebody else holds the lease."""

    def __init__(self, message: str, holder: str) -> None:
        super().__init__(message)
        self.holder = holder


class LeaseLost(RegistryError):
    """Another holder took the lease over: whatever was done under the old token must not be published."""


class PublicationRefused(RegistryError):
    """A candidate may not become live. `reason` is a stable code, the message says it in words."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RollbackRefused(RegistryError):
    """There is nothing retained to roll back to."""


class SchemaOutdated(RegistryError):
    """The database's schema is not the one that this program was written for."""
