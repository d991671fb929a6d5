"""Answers that follow a schema, and answers that nearly do."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from gateway_client.schemas import violations
from gateway_client.simulator.samples import broken, sample
from tests.support.model_calls import LABEL_SCHEMA


class Leaf(BaseModel):
    kind: Literal["a", "b"]
    next: Leaf | None = None


class Tree(BaseModel):
    leaf: Leaf
    leaves: list[Leaf] = Field(min_length=2)
    count: int = Field(gt=3, le=9)
    share: float = Field(ge=0, le=0.5)
    text: str = Field(min_length=10, max_length=12)
    flag: bool
    either: int | str


class Loop(BaseModel):
    again: list[Loop]
    value: Loop | None


SCHEMAS = [LABEL_SCHEMA, Tree.model_json_schema(), Loop.model_json_schema(), {"type": "array", "minItems": 3}]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_sample_follows_its_schema(schema: dict[str, Any]) -> None:
    assert violations(schema, sample(schema)) == []


@pytest.mark.parametrize("how", ["enum", "null", "extra", "missing", "type"])
@pytest.mark.parametrize("schema", SCHEMAS[:2])
def test_a_broken_one_breaks_it(schema: dict[str, Any], how: str) -> None:
    assert violations(schema, broken(schema, how))
    assert broken(schema, how) != sample(schema)
