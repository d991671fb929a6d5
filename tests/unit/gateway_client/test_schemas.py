"""Schemas as providers want them, and as answers are held to them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from gateway_client.schemas import closed, decodable, strict, violations


class Leaf(BaseModel):
    size: int = 1


class Tree(BaseModel):
    properties: list[Leaf]
    enum: Leaf | None = None


def test_closing_reaches_every_object_and_no_value() -> None:
    found = closed(Tree.model_json_schema())
    assert found["additionalProperties"] is False
    assert found["$defs"]["Leaf"]["additionalProperties"] is False
    # A property called `properties` or `enum` is a name, not a keyword.
    assert set(found["properties"]) == {"properties", "enum"}
    assert found["properties"]["enum"]["anyOf"][1] == {"type": "null"}
    example = {"type": "object", "properties": {"a": {"default": {"properties": {}}}}}
    assert closed(example)["properties"]["a"] == {"default": {"properties": {}}}


def test_what_says_something_itself_or_is_composed_is_left() -> None:
    for schema in (
        {"properties": {"a": {}}, "additionalProperties": True},
        {"properties": {"a": {}}, "allOf": [{"properties": {"b": {}}}]},
        {"type": "object"},
    ):
        assert "additionalProperties" not in closed(schema) or closed(schema)["additionalProperties"] is True


def test_strict() -> None:
    found = strict(Tree.model_json_schema())
    assert found is not None
    assert found["required"] == ["properties", "enum"]
    assert found["$defs"]["Leaf"] == {
        "title": "Leaf", "type": "object", "additionalProperties": False, "required": ["size"],
        "properties": {"size": {"title": "Size", "type": "integer"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"type": "object"}}},
        {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": True}},
    ],
)
def test_free_keys_cannot_be_strict(schema: dict[str, Any]) -> None:
    assert strict(schema) is None


def test_decodable_drops_constraints_and_keeps_the_rest() -> None:
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 3, "maximum": 9, "description": "d"},
            "list": {
                "type": "array",
                "items": {"type": "string", "maxLength": 3},
                "minItems": 1,
                "maxItems": 2,
            },
            "long": {"type": "array", "minItems": 5},
        },
        "required": ["minimum"],
    }
    assert decodable(schema) == {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "description": "d"},
            "list": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "long": {"type": "array"},
        },
        "required": ["minimum"],
        "additionalProperties": False,
    }


def test_violations_name_the_place() -> None:
    schema = Tree.model_json_schema()
    assert violations(schema, {"properties": []}) == []
    wrong = violations(schema, {"properties": [{"size": 1}, {"size": "x", "more": 1}]})
    assert {path for path, _ in wrong} == {"properties.1", "properties.1.size"}
