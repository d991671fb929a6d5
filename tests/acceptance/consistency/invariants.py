"""What the writers keep true over several pages in every transaction, checked on any set of pages."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

SEATS = 6
ACCOUNTS = 6
TOTAL = 600
SET_SIZE = 3
_KEY = re.compile(r"(\w+)\.(twin|seat|account|set|drift|berth)(\d+)")


def broken(states: Mapping[str, str]) -> list[str]:
    """What does not hold of these pages (key to state), in words.

    Each group is there whole or not at all; twins carry one revision; exactly one seat holds the token;
    accounts add up; a set is of one edition; a page that is renamed, or whose
    place is taken by another, is there once.
    """
    groups: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for key, state in states.items():
        found = _KEY.match(key)
        if found is not None:
            groups[found[1], found[2], found[3]][key] = state
    return [
        f"{kind} {number} of {tenant}: {fault}: {members}"
        for (tenant, kind, number), members in sorted(groups.items())
        if (fault := _fault(kind, members))
    ]


def _fault(kind: str, members: Mapping[str, str]) -> str:
    size = {"twin": 2, "seat": SEATS, "account": ACCOUNTS, "set": SET_SIZE, "drift": 1, "berth": 1}[kind]
    if len(members) != size:
        return f"{len(members)} of {size} pages"
    words = [state.split()[0] for state in members.values()]
    numbers = [int(state.split()[1]) for state in members.values()]
    if kind in ("twin", "set") and len(set(numbers)) != 1:
        return "not of one revision"
    if kind == "seat" and words.count("token") != 1:
        return "not exactly one token"
    if kind == "account" and sum(numbers) != TOTAL:
        return f"sum {sum(numbers)}, not {TOTAL}"
    return ""
