"""Answers that follow a JSON schema, or break it in a way that real models do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEEPEST = 5  # beyond it, only what is required, and nothing where nothing is allowed


def sample(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """A value that follows a schema (the usual keywords; not `pattern` or `format`)."""
    return _sample(schema, schema, 0)


def _sample(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401
    if "$ref" in schema:
        schema = _resolved(schema["$ref"], root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _sample(_alternative(schema[key], depth), root, depth + 1)
    return _of_type(schema, root, depth)


def _alternative(choices: list[Mapping[str, Any]], depth: int) -> Mapping[str, Any]:
    """The first; deep down nothing at all, where that is among them."""
    ends = [choice for choice in choices if choice.get("type") == "null"]
    return ends[0] if ends and depth > DEEPEST else choices[0]


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:  # noqa: ANN401
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    match kind:
        case "object":
            return _object(schema, root, depth)
        case "array":
            wanted = max(schema.get("minItems", 0), 0 if depth > DEEPEST else 1)
            return [_sample(schema.get("items", {}), root, depth + 1) for _ in range(wanted)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            text = "sample".ljust(schema.get("minLength", 0), "x")
            return text[: schema.get("maxLength", len(text))]


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = schema.get("required", []) if depth > DEEPEST else properties
    return {name: _sample(properties.get(name, {}), root, depth + 1) for name in names}


def _number(schema: Mapping[str, Any]) -> int | float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 1) - ("exclusiveMaximum" in schema))
    found: int | float = min(max(least, 1), most)
    return found


def _resolved(ref: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in ref.removeprefix("#/").split("/"):
        found = found.get(step, {})
    return found if isinstance(found, Mapping) else {}


def broken(schema: Mapping[str, Any], how: str) -> Any:  # noqa: ANN401 - any JSON
    """A value that nearly follows a schema: an enum in another case, a null, an extra field, one missing, a number
    as text. Where the schema has no place for the mistake, an extra field it is."""
    value = sample(schema)
    if not isinstance(value, dict):
        return [value]
    properties = schema.get("properties", {})
    name = _victim(properties, schema, value, how)
    if name is None:
        return value | {"remark": "not asked for"}
    match how:
        case "enum":
            return value | {name: f"{value[name]}".swapcase() + "."}
        case "null":
            return value | {name: None}
        case "missing":
            return {key: kept for key, kept in value.items() if key != name}
        case _:
            return value | {name: f"{value[name]}" if not isinstance(value[name], str) else 7}


def _victim(
    properties: Mapping[str, Any], schema: Mapping[str, Any], value: Mapping[str, Any], how: str
) -> str | None:
    resolved = {
        name: _resolved(part["$ref"], schema) if "$ref" in part else part for name, part in properties.items()
    }
    fitting = {
        "enum": [name for name, part in resolved.items() if "enum" in part or "const" in part],
        "null": [name for name in schema.get("required", []) if value.get(name) is not None],
        "missing": list(schema.get("required", [])),
        "type": [
            name for name, part in resolved.items() if part.get("type") in ("string", "integer", "number")
        ],
    }
    return next(iter(fitting.get(how, [])), None)
