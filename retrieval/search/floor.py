"""The result floor: whether an answer is good enough to be given as one.

Judged by the raw cosine of the best hit and the number of lexical hits, because a fused score does not tell
real queries from junk.
"""

from __future__ import annotations

from collections.abc import Sequence

from registry.contract import Contract
from retrieval.index.store import Scored
from retrieval.search.query import Floor


def judge(
    contract: Contract, dense: Sequence[Scored] | None, lexical: Sequence[Scored] | None, hits: int
) -> Floor:
    """The floor of an answer with these lists; a list of None was not asked for."""
    cosine = max((hit.score for hit in dense), default=None) if dense is not None else None
    met = hits > 0
    if dense is not None:
        met = met and cosine is not None and cosine >= contract.result_floor_cosine
    if lexical is not None:
        met = met and len(lexical) >= contract.result_floor_lexical
    unmet = "flagged" if contract.on_floor_unmet == "flag" else "refused"
    return Floor(
        met=met,
        best_cosine=cosine,
        cosine_floor=contract.result_floor_cosine,
        lexical_hits=None if lexical is None else len(lexical),
        lexical_floor=contract.result_floor_lexical,
        action="none" if met else unmet,  # type: ignore[arg-type]
    )
