"""Readers: they ask for all there is, of what is live or of an older generation, and note what they were told."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from registry.errors import RegistryError
from retrieval.errors import GenerationNotServed, IndexUnavailable, NothingPublished, RetrievalError
from retrieval.search.query import SearchQuery
from tests.acceptance.consistency.auditing import documents_of_hits
from tests.acceptance.consistency.pages import WORD
from tests.acceptance.consistency.record import Answered
from tests.acceptance.consistency.trial import Trial

Mode = Literal["hybrid", "dense", "lexical"]
MODES: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
EVERYTHING = 1_000


@dataclass(frozen=True, slots=True)
class Readers:
    """Those of a trial."""

    trial: Trial

    def ask(self, tenant: str, chosen: random.Random, through: Literal["search", "api"] = "search") -> None:
        """Ask for everything, of what is live or of an older generation."""
        as_of = self._older(tenant, chosen) if chosen.random() < 0.25 else None
        ask = self._search if through == "search" else self._post
        began = time.monotonic_ns()
        try:
            said, hits = ask(tenant, as_of, chosen.choice(MODES))
        except (NothingPublished, GenerationNotServed, IndexUnavailable):
            return  # nothing yet, or retired meanwhile
        except (RegistryError, RetrievalError):
            if tenant in self.trial.record.erased:
                return
            raise
        ended = time.monotonic_ns()
        self.trial.record.answers.append(
            Answered(tenant, through, began, ended, as_of, **said, documents=documents_of_hits(hits))
        )

    def _older(self, tenant: str, chosen: random.Random) -> int | None:
        known = [number for name, number in list(self.trial.record.audited) if name == tenant]
        return chosen.choice(known[-5:]) if known else None

    def _search(self, tenant: str, as_of: int | None, mode: Mode) -> tuple[dict[str, Any], Sequence[Any]]:
        query = SearchQuery(WORD, k=EVERYTHING, mode=mode)
        # Who was erased is asked for by name, too, under which there may be somebody else by now.
        by_name = tenant in self.trial.record.erased and tenant not in self.trial.named_again
        asked = tenant if by_name and mode == "lexical" else self.trial.tenants[tenant]
        answer = self.trial.world.searcher.search(asked, query, as_of=as_of)
        return _said(answer), answer.hits

    def _post(self, tenant: str, as_of: int | None, mode: Mode) -> tuple[dict[str, Any], Sequence[Any]]:
        assert self.trial.api is not None
        body = {"query": WORD, "k": EVERYTHING, "mode": mode, "as_of": as_of}
        response = self.trial.api.post(body, self.trial.keys[tenant])
        refused = response.status_code != 200 and tenant in self.trial.record.erased
        if response.status_code in (404, 410) or refused:
            raise GenerationNotServed(response.text)
        assert response.status_code == 200, response.text
        answer = _Answer(response.json())
        return _said(answer), [_Answer(hit) for hit in answer.hits]


class _Answer:
    """A JSON object with its fields as attributes."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update(fields)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _said(answer: Any) -> dict[str, Any]:
    return {
        "named": answer.tenant,
        "generation": answer.generation,
        "positions": dict(answer.sources),
        "hidden_since": answer.hidden_since,
        "quiescent": answer.quiescent,
    }
