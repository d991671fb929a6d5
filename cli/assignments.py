"""`KEY=VALUE` arguments and JSON files as nested values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cli.errors import WrongUse


def from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    """Nested values of `a.b=VALUE` arguments: VALUE as JSON where it is JSON, else as it stands.

    Raises WrongUse.
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        steps = name.strip().split(".")
        if not equals or not all(steps):
            raise WrongUse(f"{pair!r} is not KEY=VALUE")
        _put(values, steps, _value(text), pair)
    return values


def _put(values: dict[str, Any], steps: list[str], value: object, pair: str) -> None:
    for step in steps[:-1]:
        values = values.setdefault(step, {})
        if not isinstance(values, dict):
            raise WrongUse(f"{pair!r} reaches inside a value that was set before")
    values[steps[-1]] = value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def from_file(path: Path) -> dict[str, Any]:
    """The JSON object of a file. Raises WrongUse."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongUse(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise WrongUse(f"{path} holds no JSON object")
    # What `contract show --json` prints can be edited and given back.
    return {name: value[name] for name in value if name not in ("tenant", "version", "hash")}


def merged(values: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with those of `over` put over them, objects within objects alike."""
    result = dict(values)
    for name, value in over.items():
        before = result.get(name)
        nested = isinstance(before, Mapping) and isinstance(value, Mapping)
        result[name] = merged(dict(before or {}), value) if nested else value
    return result


def plain_options(pairs: Iterable[str]) -> dict[str, str]:
    """`--option K=V` as strings. Raises WrongUse, also for one that is given twice."""
    options: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise WrongUse(f"--option {pair!r} is not K=V")
        if name.strip() in options:
            raise WrongUse(f"--option {name.strip()} is given twice")
        options[name.strip()] = text
    return options
