"""Canaries from a file: JSON Lines of `{"query": …, "relevant": [document keys]}`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from canaries.errors import InvalidCanary
from registry.canaries import Question, canary_id
from retrieval.errors import InvalidQuery
from retrieval.search.query import SearchQuery


def read_canaries(path: Path) -> list[Question]:
    """All canaries of a file. Raises InvalidCanary naming the line, also for a file without any."""
    try:
        # Only a line feed ends a line: JSON may hold other separators raw.
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InvalidCanary(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidCanary(f"{path} is no UTF-8 text: {error}") from error
    questions = list(_parse(path, lines))
    if not questions:
        raise InvalidCanary(f"{path} holds no canary")
    return questions


def _parse(path: Path, lines: Iterable[str]) -> Iterable[Question]:
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        question = _question(line, f"{path}:{number}")
        if question.id in seen:
            raise InvalidCanary(f"{path}:{number} asks the same as line {seen[question.id]}")
        seen[question.id] = number
        yield question


def _question(line: str, place: str) -> Question:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidCanary(f"{place} is not JSON: {error}") from error
    query = value.get("query") if isinstance(value, dict) else None
    relevant = value.get("relevant") if isinstance(value, dict) else None
    if not isinstance(query, str) or not query.strip():
        raise InvalidCanary(f'{place} has no "query"')
    if (
        not isinstance(relevant, list)
        or not relevant
        or not all(isinstance(key, str) and key for key in relevant)
    ):
        raise InvalidCanary(f'{place} has no "relevant": a list of document keys is needed')
    _check_text(query, *relevant, place=place)
    try:
        SearchQuery(query)
    except InvalidQuery as error:
        # Kept, it would crash every gate from now on.
        raise InvalidCanary(f"{place} can never be asked: {error}") from error
    return Question(canary_id(query), query, tuple(dict.fromkeys(relevant)))


def _check_text(*texts: str, place: str) -> None:
    """Refuse what JSON can escape and no registry can store: half a surrogate pair, the character 0."""
    if any("\0" in text or any("\ud800" <= c <= "\udfff" for c in text) for text in texts):
        raise InvalidCanary(f"{place} holds a character that is no text: half a surrogate pair, or a NUL")
