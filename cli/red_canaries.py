"""Red canaries for people, wherever a check that asked them is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from canaries.naming import expected
from cli.formatting import table
from cli.output import console


def print_red_canaries(red: Iterable[Mapping[str, Any]]) -> None:
    """Which canaries are behind a red check: what each asks, what it expects, and its id."""
    rows = [(one["id"], one["query"], expected(one), one["why"]) for one in red]
    if rows:
        console().print(table(("red canary", "~asks", "~expects", "~but"), rows))
