"""Names that are typed, held against those that there are: a typo is told, not taken."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from cli.errors import WrongUse
from cli.opening import opened_registry
from cli.output import warn
from gateway_client.catalogue import Catalogue
from gateway_client.lanes import Lane
from gateway_client.operating import Operator
from gateway_client.scopes import EACH
from gateway_client.settings import gateway_settings
from registry import tenants
from registry.errors import SchemaOutdated

LISTED = 12


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """What is said of a name that is none of those known: the nearest of them, and what else there is."""
    there = sorted(str(one) for one in known)
    near = get_close_matches(name, there, n=1, cutoff=0.5)
    meant = f": did you mean {near[0]!r}?" if near else ""
    if near and len(there) > LISTED:
        return f"there is no {what} {name!r}{meant}"
    more = f" and {len(there) - LISTED} more" if len(there) > LISTED else ""
    return f"there is no {what} {name!r}{meant or '.'} There are: {', '.join(there[:LISTED]) or 'none'}{more}"


def refuse_unknown(what: str, name: str, known: Iterable[str]) -> None:
    """Raises WrongUse for a name that is none of those known."""
    there = list(known)
    if name not in there:
        raise WrongUse(unknown(what, name, there))


def pools(op: Operator) -> list[dict[str, Any]]:
    """Every pool as it is, those of the catalogue among them. Raises InvalidCatalogue."""
    op.declare(Catalogue.load(gateway_settings().catalogue))
    return op.pools()


def refuse_unknown_lane(name: str) -> None:
    """Raises WrongUse."""
    refuse_unknown("lane", name, Lane)


def refuse_unknown_model(name: str) -> None:
    """Raises WrongUse for a model that is not in the catalogue, InvalidCatalogue."""
    refuse_unknown("model", name, Catalogue.load(gateway_settings().catalogue).models)


def refuse_unknown_in_scope(scope: str, op: Operator) -> None:
    """Hold what a budget's scope names against what there is. Raises WrongUse, InvalidCatalogue.

    Whether it is a scope at all, and which features and runs there are, is not asked here.
    """
    for part in scope.split(","):
        kind, _, name = part.partition("=")
        if name == EACH:
            continue
        if kind == "lane":
            refuse_unknown_lane(name)
        elif kind == "model":
            refuse_unknown_model(name)
        elif kind == "pool":
            refuse_unknown("pool", name, [row["pool"] for row in pools(op)])
        elif kind == "tenant":
            warn_of_unknown_tenant(name)


def warn_of_unknown_tenant(name: str) -> None:
    """Say on stderr that the registry has no such tenant.

    The gateway client takes any name as a tenant's, and may be used without a registry: it is no error.
    """
    try:
        with opened_registry() as registry, registry.read() as session:
            there = [(tenant.name, tenant.id) for tenant in tenants.present(session)]
    except SchemaOutdated:
        return
    if not any(name in names for names in there):
        told = unknown("tenant", name, (known for known, _ in there))
        warn(f"{told} (it holds for calls under that name all the same)")
