"""The result floor, part by part."""

from __future__ import annotations

from typing import Any

import pytest

from registry.contract import Contract
from retrieval.index.store import Scored
from retrieval.search.floor import judge


def contract(**values: Any) -> Contract:
    return Contract.model_validate({"result_floor_cosine": 0.5, "result_floor_lexical": 2, **values})


def scored(*scores: float) -> list[Scored]:
    return [Scored(str(n), score) for n, score in enumerate(scores)]


GOOD, WEAK, TWO, ONE = scored(0.5, 0.1), scored(0.49), scored(9, 3), scored(9)


@pytest.mark.parametrize(
    ("dense", "lexical", "hits", "met"),
    [
        (GOOD, TWO, 2, True),
        (WEAK, TWO, 2, False),
        (GOOD, ONE, 2, False),
        (GOOD, TWO, 0, False),
        ([], TWO, 2, False),
        (GOOD, [], 2, False),
        (GOOD, None, 2, True),
        (WEAK, None, 2, False),
        ([], None, 0, False),
        (None, TWO, 2, True),
        (None, ONE, 1, False),
        (None, [], 0, False),
    ],
)
def test_every_part_that_was_asked_for_must_be_met(
    dense: list[Scored] | None, lexical: list[Scored] | None, hits: int, met: bool
) -> None:
    floor = judge(contract(), dense, lexical, hits)
    assert floor.met is met
    assert floor.action == ("none" if met else "flagged")
    assert floor.best_cosine == (
        max((hit.score for hit in dense), default=None) if dense is not None else None
    )
    assert floor.lexical_hits == (None if lexical is None else len(lexical))
    assert judge(contract(on_floor_unmet="refuse"), dense, lexical, hits).action == (
        "none" if met else "refused"
    )


def test_a_part_can_be_left_out_but_not_the_hits() -> None:
    free = contract(result_floor_cosine=-1, result_floor_lexical=0)
    assert judge(free, scored(-0.9), [], 1).met
    assert not judge(free, [], [], 0).met
