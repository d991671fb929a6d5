"""The writers' transactions, drawn at random: each keeps every invariant, and none keeps them page by page."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from tests.acceptance.consistency.invariants import ACCOUNTS, SEATS, SET_SIZE, TOTAL
from tests.acceptance.consistency.pages import Drop, Op, Page, Put, Rename, Replace, State, applied

TWINS = SETS = 2
LONERS = 6
DRIFTERS = 2
KEPT_IN_AN_ACCIDENT = ("anchor", "drift", "berth", "nomad")


@dataclass
class Workload:
    """One tenant's writer. It knows its own rows alone: no other writer touches them."""

    tenant: str
    random: random.Random
    serial: int = 0
    lost: dict[str, Page] = field(default_factory=dict)

    def founding(self) -> list[Op]:
        """The first transaction."""
        ops = [*self._seats(), *self._accounts(), *self._twins(0), *self._set(0)]
        ops.append(Put(self._page("anchor", f"anchor {self._next()}", facts=3)))
        ops += [Put(self._page(f"drift{n}v0", f"text {self._next()}")) for n in range(DRIFTERS)]
        ops.append(Put(replace(self._page("berth0v0", f"text {self._next()}"), berth=self._key("berth0"))))
        return ops + [Put(self._page(f"loner{n}", f"text {self._next()}")) for n in range(LONERS)]

    def transaction(self, rows: State) -> list[Op]:
        """One to three changes, each of whole groups; never one that changes nothing."""
        kinds: tuple[Callable[[State], list[Op]], ...] = (
            self._edit_twins, self._edit_twins, self._found_or_drop_twins, self._pass_token, self._pass_token,
            self._transfer, self._transfer, self._set_comes_or_goes, self._set_comes_or_goes, self._edit_set,
            self._loner, self._loner, self._loner, self._rename, self._rename, self._edit_renamed,
            self._remark, self._remark, self._drop_and_bring_back, self._replace, self._replace,
            self._spoil, self._spoil, self._spoil, self._mend, self._mend,
        )  # fmt: skip
        while True:
            now: State = rows
            ops: list[Op] = []
            for kind in self.random.sample(kinds, self.random.choice((1, 1, 1, 2, 3))):
                more = kind(now)
                ops, now = ops + more, applied(now, more)
            if dict(now) != dict(rows):
                return ops

    def accident(self, rows: State) -> list[Op]:
        """Almost everything goes."""
        kept = tuple(self._key(kind) for kind in KEPT_IN_AN_ACCIDENT)
        return [Drop(key) for key in rows if not key.startswith(kept) and not key.startswith("nomad")]

    def refounding(self) -> list[Op]:
        """What an accident that was meant leaves to be written anew."""
        return [*self._seats(), *self._accounts(), *self._twins(0), *self._set(0)]

    def _next(self) -> int:
        self.serial += 1
        return self.serial

    def _key(self, name: str) -> str:
        return f"{self.tenant}.{name}"

    def _page(self, name: str, state: str, facts: int | None = None) -> Page:
        key, title = self._key(name), f"Page {name} of {self.tenant}"
        return Page(self.tenant, key, key, state, title, 0, facts or self.random.randint(1, 5))

    def _group(self, rows: State, name: str) -> list[Page]:
        return [page for key, page in sorted(rows.items()) if key.startswith(self._key(name))]

    def _twins(self, number: int) -> list[Op]:
        revision = self._next()
        return [Put(self._page(f"twin{number}{half}", f"revision {revision}")) for half in "ab"]

    def _set(self, number: int) -> list[Op]:
        edition = self._next()
        return [Put(self._page(f"set{number}p{n}", f"edition {edition}")) for n in range(SET_SIZE)]

    def _seats(self) -> list[Op]:
        serial, holder = self._next(), self.random.randrange(SEATS)
        return [
            Put(self._page(f"seat0n{n}", f"{'token' if n == holder else 'empty'} {serial}"))
            for n in range(SEATS)
        ]

    def _accounts(self) -> list[Op]:
        return [Put(self._page(f"account0n{n}", f"balance {TOTAL // ACCOUNTS}")) for n in range(ACCOUNTS)]

    def _edit_twins(self, rows: State) -> list[Op]:
        twins = self._group(rows, f"twin{self.random.randrange(TWINS)}")
        revision = self._next()
        return [Put(page.edited(f"revision {revision}")) for page in twins]

    def _found_or_drop_twins(self, rows: State) -> list[Op]:
        number = self.random.randrange(TWINS)
        twins = self._group(rows, f"twin{number}")
        return [Drop(page.key) for page in twins] if twins else self._twins(number)

    def _pass_token(self, rows: State) -> list[Op]:
        seats = self._group(rows, "seat0")
        if not seats:
            return self._seats()
        holder = next(page for page in seats if page.state.startswith("token"))
        taker = self.random.choice([page for page in seats if page is not holder])
        serial = self._next()
        return [Put(holder.edited(f"empty {serial}")), Put(taker.edited(f"token {serial}"))]

    def _transfer(self, rows: State) -> list[Op]:
        accounts = self._group(rows, "account0")
        if not accounts:
            return self._accounts()
        payer, payee = self.random.sample(accounts, 2)
        sums = {page.key: int(page.state.split()[1]) for page in (payer, payee)}
        amount = self.random.randint(0, sums[payer.key])
        return [
            Put(payer.edited(f"balance {sums[payer.key] - amount}")),
            Put(payee.edited(f"balance {sums[payee.key] + amount}")),
        ]

    def _set_comes_or_goes(self, rows: State) -> list[Op]:
        number = self.random.randrange(SETS)
        members = self._group(rows, f"set{number}")
        return [Drop(page.key) for page in members] if members else self._set(number)

    def _edit_set(self, rows: State) -> list[Op]:
        edition = self._next()
        members = self._group(rows, f"set{self.random.randrange(SETS)}")
        return [Put(page.edited(f"edition {edition}")) for page in members]

    def _loner(self, rows: State) -> list[Op]:
        key = self._key(f"loner{self.random.randrange(LONERS)}")
        if key not in rows:
            # Half of those that come back are, to the letter, what went.
            again = self.lost.get(key) if self.random.random() < 0.5 else None
            back = again or self._page(key.partition(".")[2], f"text {self._next()}")
            return [Put(back.spoiled(f"text {self._next()}") if self.random.random() < 0.3 else back)]
        if self.random.random() < 0.6:
            self.lost[key] = rows[key]
            return [Drop(key)]
        return [Put(rows[key].edited(f"text {self._next()}"))]

    def _rename(self, rows: State) -> list[Op]:
        page = self.random.choice(self._group(rows, "drift"))
        renamed = _renumbered(page)
        if self.random.random() < 0.3:  # with another text it is no rename, but one page less and one more
            renamed = renamed.edited(f"text {self._next()}")
        return [Rename(page.key, renamed)]

    def _replace(self, rows: State) -> list[Op]:
        """Another page at the same address, to the letter as the one that goes or not."""
        page = self.random.choice(self._group(rows, "berth"))
        following = _renumbered(page)
        if self.random.random() < 0.7:
            following = following.edited(f"text {self._next()}")
        return [Replace(page.key, following)]

    def _spoil(self, rows: State) -> list[Op]:
        """A page that nobody can read from now on; whoever edits it mends it."""
        pages = self._group(rows, "loner") + self._group(rows, "drift")
        page = self.random.choice([page for page in pages if not page.broken] or self._group(rows, "anchor"))
        if "loner" in page.key and self.random.random() < 0.3:
            return [Put(page.unread())]
        return [Put(page.spoiled(f"text {self._next()}"))]

    def _mend(self, rows: State) -> list[Op]:
        """A page that nobody could read, as somebody wrote it anew."""
        broken = [page for page in rows.values() if page.broken]
        return [Put(self.random.choice(broken).edited(f"text {self._next()}"))] if broken else []

    def _edit_renamed(self, rows: State) -> list[Op]:
        page = self.random.choice(self._group(rows, "drift"))
        return [Put(page.edited(f"text {self._next()}"))]

    def _remark(self, rows: State) -> list[Op]:
        """What is not text alone changes."""
        loners = [page for page in self._group(rows, "loner") if not page.broken]
        page = self.random.choice(loners or self._group(rows, "anchor"))
        serial = self._next()
        if self.random.random() < 0.5:
            return [Put(replace(page, rev=serial))]
        return [Put(replace(page, title=f"{page.title.split(' (')[0]} ({serial})"))]

    def _drop_and_bring_back(self, rows: State) -> list[Op]:
        """In one transaction: for everybody else it never went."""
        page = self.random.choice(self._group(rows, "anchor"))
        return [Drop(page.key), Put(page.edited(f"anchor {self._next()}"))]


@dataclass
class Nomads:
    """The writer of the pages that wander from tenant to tenant of a shared source. Nobody else touches them."""

    tenants: tuple[str, ...]
    random: random.Random
    serial: int = 0

    def founding(self) -> list[Op]:
        """Each starts with a tenant of its own."""
        return [Put(self._page(f"nomad{n}", tenant)) for n, tenant in enumerate(self.tenants)]

    def transaction(self, rows: State) -> list[Op]:
        """One of them moves, to the letter as it was or edited on the way."""
        page = self.random.choice([page for key, page in sorted(rows.items()) if key.startswith("nomad")])
        host = self.random.choice([tenant for tenant in self.tenants if tenant != page.tenant])
        self.serial += 1
        moved = replace(page, tenant=host)
        if self.random.random() < 0.15:
            return [Put(moved.spoiled(f"text {self.serial}"))]
        return [Put(moved if self.random.random() < 0.5 else moved.edited(f"text {self.serial}"))]

    def _page(self, key: str, tenant: str) -> Page:
        return Page(tenant, key, key, "text 0", f"The wandering page {key}", 0, 2)


def _renumbered(page: Page) -> Page:
    """The page under its next key."""
    stem, _, version = page.key.rpartition("v")
    return replace(page, key=f"{stem}v{int(version) + 1}")
