"""What every index store must do, against brute force and the BM25 oracle."""

from __future__ import annotations

import random
import threading

import numpy as np
import pytest

from retrieval.errors import DimensionMismatch, GenerationExists, IndexUnavailable, ModelMismatch
from retrieval.index.filter import Filter
from retrieval.index.store import GenerationRef, GenerationStore, IndexSpec, Scored
from retrieval.lexical.bm25 import grid_value, query_weights
from retrieval.lexical.oracle import LuceneOkapi
from retrieval.lexical.terms import SparseWeights, TermCounts
from tests.support.index_points import DIMENSION, SPEC, STEP, chunk, chunks, counts_of, terms, unit

ONE, TWO, THREE = (GenerationRef("acme", number) for number in (1, 2, 3))


def build(store: GenerationStore, ref: GenerationRef, points, base=None, deleted=(), spec=SPEC):
    with store.stage(ref, spec, base) as stage:
        stage.upsert(points)
        stage.delete(deleted)
        return stage.seal()


def queries(count: int, seed: int = 99) -> list[tuple[np.ndarray, TermCounts]]:
    rng = random.Random(seed)
    return [(unit(rng), terms(rng, rng.choice([1, 2, 4, 8]))) for _ in range(count)]


def ordered(scores: dict[str, float], limit: int) -> list[tuple[str, float]]:
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]


def results(store: GenerationStore, ref: GenerationRef, asked, limit: int = 10, where: Filter | None = None):
    """Everything that a set of queries sees, scores to the last bit."""
    with store.open(ref) as reader:
        return [
            reader.both(vector, query_weights(query), limit, *([where] if where else []))
            for vector, query in asked
        ]


def test_a_sealed_generation_gives_back_what_was_staged(store: GenerationStore) -> None:
    points = chunks(60)
    sealed = build(store, ONE, points)
    with store.open(ONE, "model-a") as reader:
        assert (reader.ref, reader.spec, reader.digest) == (ONE, SPEC, sealed.digest)
        assert reader.count() == sealed.points == 60
        found = list(reader.points(batch=7))
        assert [point.chunk_id for point in found] == sorted(point.chunk_id for point in points)
        assert {p.chunk_id: p.digest() for p in found} == {p.chunk_id: p.digest() for p in points}
        payloads = reader.retrieve([points[3].chunk_id, points[5].chunk_id, "0" * 8 + points[0].chunk_id[8:]])
        assert payloads == {p.chunk_id: p.payload for p in (points[3], points[5])}
    assert store.generations("acme") == [1]
    assert store.size_bytes(ONE) > 0


def test_payloads_survive_unchanged(store: GenerationStore) -> None:
    odd = {
        "null": None, "empty": [], "object": {}, "one": 1, "float": 1.0, "tiny": 5e-324, "least": -(2**63),
        "most": 2**63 - 1, "tenth": 0.1, "zero": "\x00", "emoji": "\U0001f600", "": "no name",
        "a.b": [[], {"c": [None]}],
        "deep": {"x": [True, {"y": "z"}]},
    }  # fmt: skip
    point = chunk(1, random.Random(5), metadata=odd)
    build(store, ONE, [point])
    with store.open(ONE) as reader:
        found = reader.retrieve([point.chunk_id])[point.chunk_id]
        assert found == point.payload
        assert {key: repr(value) for key, value in found["metadata"].items()} == {
            key: repr(value) for key, value in odd.items()
        }
        assert next(reader.points()).digest() == point.digest()


def test_dense_search_is_brute_force(store: GenerationStore) -> None:
    points = chunks(300)
    build(store, ONE, points)
    matrix = np.stack([point.vector for point in points]).astype(np.float64)
    with store.open(ONE) as reader:
        for vector, _ in queries(20):
            hits = reader.dense(vector, 10)
            truth = dict(zip((p.chunk_id for p in points), matrix @ vector.astype(np.float64), strict=True))
            assert [hit.score for hit in hits] == pytest.approx([s for _, s in ordered(truth, 10)], rel=1e-5)
            assert [hit.chunk_id for hit in hits] == [i for i, _ in ordered(truth, 10)]
            assert hits == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def test_lexical_search_is_the_oracle(store: GenerationStore) -> None:
    points = chunks(300)
    build(store, ONE, points[:200])
    # Overwritten, deleted and added: the statistics must be those of what is left.
    rewritten = [chunk(number, random.Random(number + 7)) for number in range(40)]
    left = {p.chunk_id: p for p in [*points, *rewritten]}
    gone = [point.chunk_id for point in points[50:120]]
    build(store, TWO, [*points[200:], *rewritten], ONE, gone)
    corpus = [point for key, point in left.items() if key not in set(gone)]
    oracle = LuceneOkapi([counts_of(point) for point in corpus], grid_value(STEP))
    with store.open(TWO) as reader:
        assert reader.count() == len(corpus)
        for _, query in queries(40):
            truth = {p.chunk_id: s for p, s in zip(corpus, oracle.scores(query), strict=True) if s > 0}
            hits = reader.lexical(query_weights(query), 10)
            expected = ordered(truth, 10)
            assert [hit.score for hit in hits] == pytest.approx([s for _, s in expected], rel=1e-6)
            assert [hit.chunk_id for hit in hits] == [i for i, _ in expected]


def test_difference_equals_fresh_to_the_last_bit(store: GenerationStore) -> None:
    rng = random.Random(3)
    state = {point.chunk_id: point for point in chunks(400)}
    build(store, ONE, list(state.values()))
    with store.stage(TWO, SPEC, ONE) as stage:
        for step in range(50):
            kind = rng.choice(["add", "change", "payload", "delete"])
            victim = state[rng.choice(sorted(state))]
            if kind == "delete":
                stage.delete([victim.chunk_id])
                del state[victim.chunk_id]
                continue
            number = 1000 + step if kind == "add" else 0
            point = chunk(number, rng)
            if kind == "change":
                point = type(point)(victim.chunk_id, point.vector, point.weights, point.payload)
            elif kind == "payload":
                payload = victim.payload | {"version": f"new{step}"}
                point = type(point)(victim.chunk_id, victim.vector, victim.weights, payload)
            stage.upsert([point])
            state[point.chunk_id] = point
        assert stage.digests() == {key: point.digest() for key, point in state.items()}
        by_difference = stage.seal()
    shuffled = list(state.values())
    rng.shuffle(shuffled)
    fresh = build(store, THREE, shuffled)
    assert fresh == by_difference
    asked = queries(40)
    where = Filter(hidden=frozenset({("source-0", "d3.md"), ("source-1", "d4.md")}))
    assert results(store, TWO, asked, 100) == results(store, THREE, asked, 100)
    assert results(store, TWO, asked, 20, where) == results(store, THREE, asked, 20, where)


def test_a_staged_copy_does_not_touch_its_base(store: GenerationStore) -> None:
    points = chunks(50)
    build(store, ONE, points)
    before = results(store, ONE, queries(10))
    build(store, TWO, [chunk(n, random.Random(n)) for n in range(50)], ONE, [points[0].chunk_id])
    store.close()
    assert results(store, ONE, queries(10)) == before
    with store.open(ONE) as reader:
        assert {p.chunk_id: p.digest() for p in reader.points()} == {p.chunk_id: p.digest() for p in points}


def test_an_abandoned_stage_leaves_nothing(store: GenerationStore) -> None:
    build(store, ONE, chunks(20))
    with store.stage(TWO, SPEC, ONE) as stage:
        stage.upsert(chunks(5, seed=8))
    with pytest.raises(RuntimeError, match="boom"), store.stage(TWO, SPEC) as stage:
        raise RuntimeError("boom")
    assert store.generations("acme") == [1]
    assert store.discard_stages("acme") == 0
    with pytest.raises(IndexUnavailable, match="generation 2 of tenant acme"):
        store.open(TWO)
    with pytest.raises(ValueError, match="sealed or abandoned"):
        stage.upsert(chunks(1))


def test_living_stages_are_not_discarded(store: GenerationStore) -> None:
    with store.stage(ONE, SPEC) as stage:
        assert store.discard_stages("acme", except_token=stage.token) == 0
        assert store.discard_stages("acme") == 0
        stage.upsert(chunks(3))
        assert stage.seal().points == 3


def test_nothing_is_staged_after_sealing(store: GenerationStore) -> None:
    with store.stage(ONE, SPEC) as stage:
        stage.upsert(chunks(3))
        stage.seal()
        for wrong in (
            lambda: stage.upsert(chunks(1)),
            lambda: stage.delete(["x"]),
            stage.digests,
            stage.seal,
        ):
            with pytest.raises(ValueError, match="sealed"):
                wrong()
    assert store.generations("acme") == [1]


def test_a_number_is_never_sealed_twice(store: GenerationStore) -> None:
    late = store.stage(ONE, SPEC)
    build(store, ONE, chunks(3))
    with pytest.raises(GenerationExists, match="generation 1 of tenant acme"):
        store.stage(ONE, SPEC)
    with pytest.raises(GenerationExists), late as stage:
        stage.seal()
    with store.open(ONE) as reader:
        assert reader.count() == 3


def test_an_empty_generation_answers_nothing(store: GenerationStore) -> None:
    assert build(store, ONE, []).points == 0
    with store.open(ONE) as reader:
        vector, query = queries(1)[0]
        assert reader.both(vector, query_weights(query), 5) == ([], [])
        assert list(reader.points()) == []
        assert reader.retrieve([]) == {}


def test_erasing_a_tenant_leaves_nothing_of_it_whoever_reads(store: GenerationStore) -> None:
    build(store, ONE, chunks(5))
    build(store, TWO, chunks(9))
    build(store, GenerationRef("bolt", 1), chunks(3))
    vector, query = queries(1)[0]
    with store.open(TWO) as reader:
        assert store.erase("acme") == 1
        with pytest.raises(IndexUnavailable, match="generation 2 of tenant acme"):
            reader.both(vector, query_weights(query), 5)
        with pytest.raises(IndexUnavailable):
            store.open(TWO)
    assert store.generations("acme") == []
    assert store.erase("acme") == 0
    with store.open(GenerationRef("bolt", 1)) as reader:
        assert reader.count() == 3


def test_the_model_is_checked(store: GenerationStore) -> None:
    build(store, ONE, chunks(3))
    with pytest.raises(ModelMismatch, match=r"'model-a'.*'model-b'"):
        store.open(ONE, "model-b")
    other = IndexSpec("model-b", DIMENSION, STEP, "english-1")
    with pytest.raises(ModelMismatch, match=r"generation 1 of tenant acme.*'model-a'.*'model-b'"):
        store.stage(TWO, other, ONE)
    assert store.discard_stages("acme") == 0
    assert store.remove(ONE), "a refused opening must not hold the generation"


def test_dimensions_are_checked(store: GenerationStore) -> None:
    wrong = IndexSpec("model-a", DIMENSION + 1, STEP, "english-1")
    with (
        pytest.raises(DimensionMismatch, match="16 dimensions where the index has 17"),
        store.stage(ONE, wrong) as s,
    ):
        s.upsert(chunks(1))
    build(store, ONE, chunks(1))
    with store.open(ONE) as reader, pytest.raises(DimensionMismatch):
        reader.dense(np.ones(3, np.float32), 1)


def test_a_generation_is_removed_when_no_reader_holds_it(store: GenerationStore) -> None:
    build(store, ONE, chunks(30))
    first, second = store.open(ONE), store.open(ONE)
    assert store.remove(ONE) is False
    first.close()
    first.close()
    assert store.remove(ONE) is False
    assert len(second.dense(queries(1)[0][0], 5)) == 5
    second.close()
    with pytest.raises(ValueError, match="closed"):
        second.dense(queries(1)[0][0], 5)
    assert store.remove(ONE) is True
    assert store.remove(ONE) is True
    assert store.generations("acme") == []
    for wrong in (lambda: store.open(ONE), lambda: store.size_bytes(ONE)):
        with pytest.raises(IndexUnavailable):
            wrong()


def test_tenants_do_not_share_statistics(store: GenerationStore) -> None:
    points, asked = chunks(100), queries(20)
    build(store, ONE, points)
    alone = results(store, ONE, asked)
    build(store, GenerationRef("bravo", 1), chunks(150, seed=4))
    assert results(store, ONE, asked) == alone
    build(store, TWO, points)
    assert results(store, TWO, asked) == alone
    assert store.remove(GenerationRef("bravo", 1))
    assert results(store, ONE, asked) == alone
    assert store.generations("charlie") == []


@pytest.mark.parametrize("tenant", ["", "../x", "a/b", ".hidden", "a\x00b", "x" * 200])
def test_a_tenant_cannot_name_another_directory(store: GenerationStore, tenant: str) -> None:
    with pytest.raises(ValueError, match="tenant id"):
        store.open(GenerationRef(tenant, 1))


def test_ties_at_the_cut_are_decided_by_chunk_id(store: GenerationStore) -> None:
    rng = random.Random(1)
    model = chunk(0, rng)
    while not model.weights.indices.size:
        model = chunk(0, rng)
    twins = [
        type(model)(chunk(n, rng).chunk_id, model.vector, model.weights, model.payload) for n in range(60)
    ]
    build(store, ONE, [*twins, *(chunk(n, rng) for n in range(60, 80))])
    smallest = sorted(point.chunk_id for point in twins)
    weights = SparseWeights(model.weights.indices, np.ones_like(model.weights.values))
    with store.open(ONE) as reader:
        for limit in (1, 7, 59):
            assert [hit.chunk_id for hit in reader.dense(model.vector, limit)] == smallest[:limit]
            assert [hit.chunk_id for hit in reader.lexical(weights, limit)] == smallest[:limit]


def test_limits(store: GenerationStore) -> None:
    build(store, ONE, chunks(12))
    vector, _ = queries(1)[0]
    with store.open(ONE) as reader:
        assert len(reader.dense(vector, 12)) == len(reader.dense(vector, 500)) == 12
        with pytest.raises(ValueError, match="limit"):
            reader.dense(vector, 0)


def test_hidden_documents_are_left_out_and_change_no_score(store: GenerationStore) -> None:
    points = chunks(300)
    build(store, ONE, points)
    hidden = frozenset((p.payload["source"], p.payload["document"]) for p in points[:150:2])
    gone = {p.chunk_id for p in points if (p.payload["source"], p.payload["document"]) in hidden}
    assert 0 < len(gone) < 300
    with store.open(ONE) as reader:
        for vector, query in queries(20):
            for hits, kept in zip(
                reader.both(vector, query_weights(query), 300),
                reader.both(vector, query_weights(query), 300, Filter(hidden=hidden)),
                strict=True,
            ):
                assert kept == [hit for hit in hits if hit.chunk_id not in gone]
        absent = Filter(hidden=frozenset({("source-0", "never.md"), ("sourc", "e-0\x1ed0.md")}))
        assert len(reader.dense(queries(1)[0][0], 300, absent)) == 300


FILTERS = {
    "source": (Filter(sources=frozenset({"source-1"})), lambda p: p["source"] == "source-1"),
    "documents": (
        Filter(documents=frozenset({"d1.md", "d9.md"})),
        lambda p: p["document"] in {"d1.md", "d9.md"},
    ),
    "nothing": (Filter(documents=frozenset()), lambda p: False),
    "int": (Filter(metadata={"year": 2005}), lambda p: p["metadata"]["year"] == 2005),
    "float": (Filter(metadata={"price": 1.5}), lambda p: p["metadata"]["price"] == 1.5),
    "bool": (Filter(metadata={"draft": True}), lambda p: p["metadata"]["draft"]),
    "false": (Filter(metadata={"draft": [False, "x"]}), lambda p: not p["metadata"]["draft"]),
    "bool is no number": (Filter(metadata={"draft": 1}), lambda p: False),
    "string": (Filter(metadata={"day": "2012-03-04"}), lambda p: p["metadata"]["day"] == "2012-03-04"),
    "element": (Filter(metadata={"tags": "b"}), lambda p: "b" in p["metadata"]["tags"]),
    "list": (Filter(metadata={"tags": ["a", "c"]}), lambda p: {"a", "c"} & set(p["metadata"]["tags"])),
    "mixed list": (
        Filter(metadata={"year": ["x", 2001, 2002.0]}),
        lambda p: p["metadata"]["year"] in (2001, 2002),
    ),
    "range": (
        Filter(metadata={"year": {"gte": 2003, "lt": 2007.5}}),
        lambda p: 2003 <= p["metadata"]["year"] < 2007.5,
    ),
    "times": (
        Filter(metadata={"day": {"gt": "2012-03-04", "lte": "2015-03-04T00:00:00+00:00"}}),
        lambda p: "2012-03-04" < p["metadata"]["day"] <= "2015-03-04",
    ),
    "number, truth and float of one value": (
        Filter(metadata={"draft": [1, True, 1.0]}),
        lambda p: p["metadata"]["draft"],
    ),
    "floats alone": (Filter(metadata={"price": [1.5, 2.5]}), lambda p: p["metadata"]["price"] in (1.5, 2.5)),
    "absent field": (Filter(metadata={"colour": "red"}), lambda p: False),
    "all at once": (
        Filter(
            frozenset({("source-1", "d1.md")}), frozenset({"source-1"}), None, {"tags": "a", "draft": False}
        ),
        lambda p: (
            p["source"] == "source-1"
            and p["document"] != "d1.md"
            and "a" in p["metadata"]["tags"]
            and not p["metadata"]["draft"]
        ),
    ),
}


@pytest.mark.parametrize("count", [200, 700])  # without and with an index of names
def test_filters_keep_what_they_say(store: GenerationStore, count: int) -> None:
    points = chunks(count)
    build(store, ONE, points)
    vector, _ = queries(1)[0]
    every = SparseWeights(*_all_terms(points))
    with store.open(ONE) as reader:
        for name, (where, keeps) in FILTERS.items():
            expected = {point.chunk_id for point in points if keeps(point.payload)}
            assert {hit.chunk_id for hit in reader.dense(vector, count, where)} == expected, name
            worded = {p.chunk_id for p in points if p.weights.indices.size}
            assert {hit.chunk_id for hit in reader.lexical(every, count, where)} == expected & worded, name


def _all_terms(points) -> tuple[np.ndarray, np.ndarray]:
    indices = np.unique(np.concatenate([point.weights.indices for point in points]))
    return indices, np.ones(len(indices), np.float32)


def test_metadata_fields_with_awkward_names(store: GenerationStore) -> None:
    names = ["a.b", "a b", "[0]", "é", "a-b", "select"]
    points = [chunk(n, random.Random(n), metadata={name: n}) for n, name in enumerate(names)]
    build(store, ONE, points)
    with store.open(ONE) as reader:
        for number, name in enumerate(names):
            hits = reader.dense(points[0].vector, 10, Filter(metadata={name: number}))
            assert [hit.chunk_id for hit in hits] == [points[number].chunk_id], name


@pytest.mark.parametrize("more", [0, 600])  # without and with an index of names
def test_metadata_values_of_every_kind_and_length(store: GenerationStore, more: int) -> None:
    metadata = [
        {"a": "bc"}, {"ab": "c"}, {"a": "x" * 128}, {"a": "x" * 129}, {"a": ["y" * 500, "z"]}, {"a": 2**63 - 1},
        {"a": -(2**63)}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": "1"}, {"a": "true"}, {"a": ""}, {"a": "\x00"},
        {"z": False, "y": 7, "a": [3, "\U0001f600", None, {"b": 1}, [5]]},
    ]  # fmt: skip
    asked = [
        ("a", "bc", {0}), ("ab", "c", {1}), ("a", "c", set()), ("a", "x" * 128, {2}), ("a", "x" * 129, {3}),
        ("a", ["y" * 500, "bc", 1.0], {0, 4, 7, 8}), ("a", "z", {4}), ("a", 2**63 - 1, {5}), ("a", -(2**63), {6}),
        ("a", 1, {7}), ("a", [True], {9}), ("a", "1", {10}), ("a", "true", {11}), ("a", "", {12}),
        ("a", "\x00", {13}), ("a", ["\U0001f600", 99], {14}), ("a", 3, {14}), ("y", 7, {14}), ("z", False, {14}),
    ]  # fmt: skip
    points = [chunk(n, random.Random(n), metadata=held) for n, held in enumerate(metadata)]
    others = [chunk(100 + n, random.Random(n), metadata={"other": n}) for n in range(more)]
    build(store, ONE, [*points, *others])
    with store.open(ONE) as reader:
        for field, value, expected in asked:
            hits = reader.dense(points[0].vector, 1000, Filter(metadata={field: value}))
            found = {hit.chunk_id for hit in hits}
            assert found == {points[n].chunk_id for n in expected}, (field, value)
        assert {p.chunk_id for p in reader.points()} >= {p.chunk_id for p in points}, "they read back"


def test_threads_search_one_reader(store: GenerationStore) -> None:
    build(store, ONE, chunks(200))
    asked = queries(30)
    expected = results(store, ONE, asked)
    found: list[object] = []
    with store.open(ONE) as reader:

        def work() -> None:
            found.append([reader.both(vector, query_weights(query), 10) for vector, query in asked])

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [expected] * 4


def test_hits_are_plain(store: GenerationStore) -> None:
    build(store, ONE, chunks(3))
    with store.open(ONE) as reader:
        hit = reader.dense(queries(1)[0][0], 1)[0]
    assert isinstance(hit, Scored)
    assert (type(hit.chunk_id), type(hit.score)) == (str, float)
