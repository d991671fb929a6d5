"""The average length moves in steps: within one, only changes are written; across one, every weight."""

from __future__ import annotations

import numpy as np

from pipelines.ingestion.outcome import Outcome
from retrieval.lexical.bm25 import document_weights, grid_step, grid_value
from retrieval.lexical.terms import TermCounts
from tests.support.world import TOPICS, World, generation_ref, text_about

WORDY = " ".join(f"paragraph{n} speaks at length of thunder and of nothing else" for n in range(60))


def step(world: World) -> int:
    live = world.live()
    assert live is not None
    return live.average_length_step


def weights(world: World, number: int = 0) -> dict[str, dict[int, float]]:
    """Chunk id to term to weight, as the index of a generation (the live one) holds them."""
    live = world.live()
    assert live is not None
    ref = generation_ref(live)
    with world.store.open(type(ref)(ref.tenant, number or ref.number)) as reader:
        return {
            p.chunk_id: dict(zip(p.weights.indices.tolist(), p.weights.values.tolist(), strict=True))
            for p in reader.points()
        }


def wanted(world: World) -> dict[str, dict[int, float]]:
    """The same weights by the definition: this generation's texts, analyzed again, and their mean length."""
    live = world.live()
    assert live is not None
    analyzer = world.ingestion.preparer.analyzer
    with world.store.open(generation_ref(live)) as reader:
        terms: dict[str, TermCounts] = {
            p.chunk_id: analyzer.terms(p.payload["text"]) for p in reader.points()
        }
    average = grid_value(grid_step(float(np.mean([t.length for t in terms.values()]))))
    found = {}
    for identifier, counted in terms.items():
        made = document_weights(counted, average)
        found[identifier] = dict(zip(made.indices.tolist(), made.values.tolist(), strict=True))
    return found


def ran(world: World) -> Outcome:
    outcome = world.run()
    assert outcome.status == "published", [v.summary for v in outcome.checks if v.holds_back]
    return outcome


def test_within_a_step_only_the_difference_is_written(published: World) -> None:
    before, first = weights(published), step(published)
    published.commit({"d0": text_about(TOPICS[0], version=5)})
    outcome = ran(published)
    assert step(published) == first
    assert outcome.chunks.added > 0
    assert outcome.work.written == len(published.texts()["d0"]), "chunks of other documents were written"
    after = weights(published)
    assert sum(after[i] == before[i] for i in after.keys() & before.keys()) == outcome.chunks.unchanged
    assert after == wanted(published)


def test_crossing_a_step_rewrites_every_weight_and_embeds_only_what_is_new(published: World) -> None:
    before, first = weights(published), step(published)
    published.commit({f"w{n}": WORDY.replace("speaks", f"speaks{n}") for n in range(4)})
    published.encoder.encoded.clear()
    outcome = ran(published)
    assert step(published) != first, "the example crosses no step"
    assert outcome.work.written == outcome.chunks.live, "some points kept weights of another average length"
    assert outcome.chunks.unchanged == len(before), "rewritten is not changed: the chunks are the same"
    assert outcome.embedded == outcome.chunks.added
    after = weights(published)
    assert after == wanted(published)
    assert all(after[i] != before[i] for i in before)
    assert weights(published, 1) == before, "the generation before was touched"

    published.commit(deletes=["w0"])
    published.set_contract(mass_deletion_share=1.0)
    ran(published)
    published.commit(deletes=["w1", "w2", "w3"])
    ran(published)
    assert step(published) == first
    assert weights(published) == before == wanted(published)
