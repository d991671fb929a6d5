"""Text to term counts: tokens, stopwords out, Snowball stems, and 32-bit term ids."""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections import Counter

import Stemmer  # type: ignore[import-not-found]

from retrieval.lexical.stopwords import stopwords
from retrieval.lexical.terms import TermCounts
from retrieval.lexical.tokens import tokens

ANALYZER_VERSION = 1

_CACHED_TOKENS = 500_000


class Analyzer:
    """One language's analysis. Safe to share between threads. ValueError for a language Snowball lacks."""

    def __init__(self, language: str = "english") -> None:
        try:
            self._stemmer = Stemmer.Stemmer(language, 0)
        except KeyError:
            known = ", ".join(Stemmer.algorithms())
            raise ValueError(f"no stemmer for the language {language!r}; there are: {known}") from None
        self.language = language
        self._stopwords = stopwords(language)
        self._ids: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[Analyzer], tuple[str]]:
        """In another process it learns anew."""
        return Analyzer, (self.language,)

    @property
    def id(self) -> str:
        """Changes with anything that changes a term: this code, the Unicode tables, the stemmer."""
        return (
            f"{self.language}-{ANALYZER_VERSION}-unicode{unicodedata.unidata_version}"
            f"-snowball{Stemmer.version()}"
        )

    def terms(self, text: str) -> TermCounts:
        """Term ids and counts of a text; its length counts the tokens that are not stopwords."""
        counts: Counter[int] = Counter()
        known = self._ids  # `_learn` may start a new dictionary, never shrink this one
        for token in tokens(text):
            term = known[token] if token in known else self._learn(token)
            if term is not None:
                counts[term] += 1
        return TermCounts.of(counts)

    def _learn(self, token: str) -> int | None:
        """The id of a token seen for the first time; None for a stopword."""
        with self._lock:  # a Snowball stemmer keeps state while it works
            term = None if token in self._stopwords else _term_id(self._stemmer.stemWord(token))
            if len(self._ids) >= _CACHED_TOKENS:
                self._ids = {}
            self._ids[token] = term
        return term


def _term_id(stem: str) -> int:
    return int.from_bytes(
        hashlib.blake2b(stem.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big"
    )
