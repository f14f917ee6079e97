"""The published schema: fresh, valid, complete, and free of alternatives that would blur an error's place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from netspec import document, fields, registry, schema
from netspec.validation.findings import Validator
from netspec.validation.verdict import compiled

SLOTS = [
    (kind, name)
    for kind, base in registry.kinds().items()
    if base.tag
    for name, cls in registry.named(kind).items()
    if cls.__module__.startswith("netspec.")
]


def nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping inside a schema, itself first."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)


def test_the_committed_file_is_fresh() -> None:
    # Another process: this one may have components that other tests declared.
    code = "from netspec import registry, schema; registry.load_all(); print(schema.text(schema.emit()), end='')"
    emitted = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert schema.PATH.read_text("utf-8") == emitted, "run: python -m netspec.schema"


def test_it_is_valid_2020_12() -> None:
    Draft202012Validator.check_schema(schema.emit())


def test_a_violation_has_one_place() -> None:
    assert not [node for node in nodes(schema.emit()) if "oneOf" in node or "anyOf" in node]


def test_every_key_is_described() -> None:
    emitted = schema.emit()
    places = [emitted, *emitted["$defs"].values()]
    undescribed = [
        key for place in places for key, node in place.get("properties", {}).items() if not node.get("description")
    ]
    assert undescribed == []


@pytest.mark.parametrize(("kind", "name"), SLOTS)
def test_an_example_fits_a_slot_of_its_kind(kind: str, name: str) -> None:
    emitted = schema.emit()
    slot = {"$ref": f"#/$defs/{kind}", "$defs": {**emitted["$defs"]}}
    if kind not in emitted["$defs"]:
        pytest.skip("no field of a family holds this kind yet")
    example = document.loads(f"example: {registry.named(kind)[name].example}").data["example"]
    assert [error.message for error in Validator(slot).iter_errors(example)] == []
    assert compiled(slot)(example)


def test_text_is_stable() -> None:
    assert schema.text(schema.emit()) == schema.text(schema.emit())
    assert schema.text().endswith("}\n")


def test_a_component_of_another_package_is_in_the_schema_at_once() -> None:
    code = """
from netspec import document, schema, validation
from netspec.norms import Norm
schema.current()
class Quiet(Norm, name="quiet"):
    "A norm of a stranger."
    example = "quiet"
assert "quiet" in schema.current()["$defs"]["norm"]["allOf"][1]["then"]["enum"]
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("kind", "name"), SLOTS)
def test_what_a_component_dumps_fits_its_slot(kind: str, name: str) -> None:
    """A resolved spec is itself a spec."""
    base, definitions = registry.kinds()[kind], schema.emit()["$defs"]
    if kind not in definitions:
        pytest.skip("no field of a family holds this kind yet")
    example = document.loads(f"example: {registry.named(kind)[name].example}").data["example"]
    dumped = registry.dump(registry.parse(fields.Slot(base), example, {}))
    slot = {"$ref": f"#/$defs/{kind}", "$defs": definitions}
    assert [error.message for error in Validator(slot).iter_errors(dumped)] == []
