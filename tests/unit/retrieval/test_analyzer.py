"""Text to terms: what matches what, and what does not."""

from __future__ import annotations

import threading
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.lexical.analyzer import Analyzer
from retrieval.lexical.tokens import tokens

ANALYZER = Analyzer()


def ids(text: str, analyzer: Analyzer = ANALYZER) -> set[int]:
    return set(analyzer.terms(text).indices.tolist())


def test_counts_and_length_leave_stopwords_out() -> None:
    terms = ANALYZER.terms("The cat and the other cats sat")
    assert terms.length == 3  # cat, cats, sat
    assert sorted(terms.counts.tolist()) == [1, 2]
    assert terms.indices.dtype == np.uint32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("indexing", "indexed"),
        ("CAFÉ", "cafe\u0301"),
        ("ﬁle", "file"),
        ("STRASSE", "straße"),
        ("full\uff57idth", "fullwidth"),
    ],
)
def test_forms_of_a_word_are_one_term(one: str, other: str) -> None:
    assert ids(one) == ids(other) != set()


def test_words_that_differ_are_not_one_term() -> None:
    assert not ids("café") & ids("cafe")
    assert not ids("generation") & ids("retrieval")


@pytest.mark.parametrize("text", ["", "   ", "___ _ __", "the and of", "!?…", "\u0000"])
def test_nothing_to_index_gives_no_terms(text: str) -> None:
    terms = ANALYZER.terms(text)
    assert terms.length == 0
    assert len(terms.indices) == len(terms.counts) == 0


def test_identifiers_stay_whole() -> None:
    assert list(tokens("canary_recall v1.2")) == ["canary_recall", "v1", "2"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("東京都", ["東京", "京都"]),
        ("字", ["字"]),
        ("python3系です", ["python3", "系で", "です"]),
        ("검색 엔진", ["검색", "엔진"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("поиск", ["поиск"]),
    ],
)
def test_other_scripts(text: str, expected: list[str]) -> None:
    assert list(tokens(text)) == expected


def test_a_word_inside_an_unspaced_text_is_found() -> None:
    assert ids("東京") < ids("私は東京に住む")


def test_languages_differ_and_an_unknown_one_is_refused() -> None:
    german = Analyzer("german")
    assert ids("Häuser", german) == ids("Häusern", german)
    assert german.id != ANALYZER.id
    assert ANALYZER.id.startswith("english-")
    with pytest.raises(ValueError, match="klingon"):
        Analyzer("klingon")


def test_threads_agree() -> None:
    words = [f"running{number}s connections{number}" for number in range(300)]
    shared, found = Analyzer(), []

    def work() -> None:
        found.append([ids(word, shared) for word in words])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == [ids(word) for word in words] for result in found)


@given(st.text())
def test_terms_are_canonical(text: str) -> None:
    terms = ANALYZER.terms(text)
    assert (np.diff(terms.indices.astype(np.int64)) > 0).all()
    assert terms.counts.sum() == terms.length
    again = Analyzer().terms(unicodedata.normalize("NFKC", text))
    assert again.indices.tolist() == terms.indices.tolist()


@given(st.text(), st.text())
def test_length_adds_up(left: str, right: str) -> None:
    both = ANALYZER.terms(f"{left}\n{right}").length
    assert both == ANALYZER.terms(left).length + ANALYZER.terms(right).length
