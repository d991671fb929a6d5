"""JSON schemas: as providers want them, and as answers are held to them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

Schema = dict[str, Any]
# Constraints that Anthropic's constrained decoding refuses; the judgement holds the answer to them anyway.
_UNDECODABLE = {
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties",
}  # fmt: skip


def closed(schema: Mapping[str, Any]) -> Schema:
    """The same schema, with objects that list their properties closed to any others.

    An object that says something about additional properties itself, or is composed, is left as it is.
    """
    return _mapped_schema(schema, _close)


def strict(schema: Mapping[str, Any]) -> Schema | None:
    """The schema for OpenAI's strict mode (every object closed, every property required, no defaults);
    None where it cannot be said so, because some object has free keys."""
    found = _mapped_schema(schema, _require_all)
    return None if _has_free_objects(found) else found


def decodable(schema: Mapping[str, Any]) -> Schema:
    """The schema for Anthropic's constrained decoding: closed, without the constraints that it refuses."""
    return _mapped_schema(schema, _without_undecodable)


def violations(schema: Mapping[str, Any], value: object) -> list[tuple[str, str]]:
    """Where and how a value breaks a closed schema: (path, what is wrong with what is there).

    The second holds pieces of the value: fit for the model that wrote it, not for a log.
    """
    validator = _validator(json.dumps(schema, sort_keys=True))
    return [
        (".".join(str(part) for part in error.instance_path) or "the answer", error.message)
        for error in validator.iter_errors(value)
    ]


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:  # noqa: ANN401 - one class per draft, without a common one
    return jsonschema_rs.validator_for(closed(json.loads(schema)))


def _mapped_schema(schema: Mapping[str, Any], change: Callable[[Schema], Schema]) -> Schema:
    found: Schema = _mapped(schema, change)
    return found


def _mapped(node: Any, change: Callable[[Schema], Schema]) -> Any:  # noqa: ANN401 - any JSON
    """The schema with every object in it changed, inner ones first."""
    if isinstance(node, list):
        return [_mapped(item, change) for item in node]
    if not isinstance(node, Mapping):
        return node
    inner = {
        key: value if key in _VALUES else _mapped_entry(key, value, change) for key, value in node.items()
    }
    return change(inner)


_VALUES = ("enum", "const", "default", "examples", "required")
_NAMED = ("properties", "$defs", "definitions", "patternProperties")


def _mapped_entry(key: str, value: Any, change: Callable[[Schema], Schema]) -> Any:  # noqa: ANN401
    if key in _NAMED and isinstance(value, Mapping):
        return {name: _mapped(schema, change) for name, schema in value.items()}
    return _mapped(value, change)


def _close(node: Schema) -> Schema:
    composed = any(key in node for key in ("allOf", "anyOf", "oneOf", "$ref", "patternProperties"))
    if "properties" in node and "additionalProperties" not in node and not composed:
        return node | {"additionalProperties": False}
    return node


def _require_all(node: Schema) -> Schema:
    node = {key: value for key, value in _close(node).items() if key != "default"}
    if "properties" in node:
        node["required"] = list(node["properties"])
    return node


def _without_undecodable(node: Schema) -> Schema:
    kept = {key: value for key, value in _close(node).items() if key not in _UNDECODABLE}
    if kept.get("minItems", 0) not in (0, 1):
        del kept["minItems"]
    return kept


def _has_free_objects(node: Any) -> bool:  # noqa: ANN401
    if isinstance(node, list):
        return any(_has_free_objects(item) for item in node)
    if not isinstance(node, Mapping):
        return False
    is_object = node.get("type") == "object" or "properties" in node
    if is_object and node.get("additionalProperties") is not False:
        return True
    return any(_has_free_objects(inner) for inner in _subschemas(node))


def _subschemas(node: Mapping[str, Any]) -> list[Any]:
    """What is a schema within a schema: a property's name is none."""
    found: list[Any] = []
    for key, value in node.items():
        if key in _NAMED and isinstance(value, Mapping):
            found += value.values()
        elif key not in _VALUES:
            found.append(value)
    return found
