"""Records and components: what a field says about itself, and plain data there and back."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netspec import registry
from netspec.attention import Attention
from netspec.blocks import Block
from netspec.families.levels import Level
from netspec.families.unet import UNet
from netspec.fields import Choice, Either, Field, FieldType, ListOf, Optional, RecordOf, Scalar, Slot, Words, choice
from netspec.norms import Norm
from netspec.norms.group import GroupNorm
from netspec.registry import Component, Record, declared, dump, parse, parse_record

registry.load_all()
EVERYTHING = registry.everything()


def values(kind: FieldType, field: Field) -> st.SearchStrategy[Any]:
    """Plain data that a spec may hold at a field."""
    param = field.param
    low = param.ge if param.ge is not None else param.gt
    match kind:
        case Scalar(type=t) if t is bool:
            return st.booleans()
        case Scalar(type=t) if t is int:
            return st.integers(int(low or 0), int(param.le or 64))
        case Scalar(type=t) if t is float:
            return st.floats(low or 0.5, param.le if param.le is not None else 100, exclude_min=param.gt is not None)
        case Scalar():
            return st.sampled_from(["text", "x"])
        case Words(words):
            return st.sampled_from(words)
        case Optional(item):
            return st.just("none") | values(item, field)
        case ListOf(item):
            return st.lists(values(item, field), min_size=1, max_size=3)
        case Either(items):
            return st.one_of(*(values(item, field) for item in items))
        case RecordOf(record):
            return mappings(record)
        case Slot(base):
            # Which component is drawn once for each kind: the product of all choices has no end.
            return st.sampled_from(sorted(registry.named(base.kind))).flatmap(
                lambda name: mappings(registry.named(base.kind)[name]).map(lambda own: {base.tag: name, **own})
            )


def mappings(record: type[Record]) -> st.SearchStrategy[dict[str, Any]]:
    known = declared(record)
    required = {name: values(field.type, field) for name, field in known.items() if field.required}
    optional = {name: values(field.type, field) for name, field in known.items() if not field.required}
    return st.fixed_dictionaries(required, optional=optional)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_dump_is_the_inverse_of_parse(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(EVERYTHING))
    record = parse_record(cls, data.draw(mappings(cls)), {})
    plain = dump(record)
    assert dump(parse_again(cls, plain)) == plain
    assert parse_again(cls, plain) == record
    assert hash(parse_again(cls, plain)) == hash(record)
    assert list(plain)[int(bool(cls.tag)) :] == list(declared(cls))


def parse_again(cls: type[Component], plain: dict[str, Any]) -> Component:
    if cls.tag:
        return parse(Slot(registry.kinds()[cls.kind]), plain, {})  # type: ignore[no-any-return]
    return parse_record(cls, plain, {})  # type: ignore[no-any-return]


@pytest.mark.parametrize("cls", EVERYTHING, ids=lambda cls: f"{cls.kind}-{cls.name}")
def test_defaults_lie_inside_their_bounds(cls: type[Component]) -> None:
    for field in declared(cls).values():
        default, param = field.default, field.param
        if isinstance(default, int | float) and not isinstance(default, bool):
            assert param.ge is None or default >= param.ge
            assert param.gt is None or default > param.gt
            assert param.le is None or default <= param.le
        if isinstance(field.type, Words):
            assert field.required or default in field.type.words
        if param.inherits:
            assert param.inherits in declared(UNet)


def test_field_types() -> None:
    level, unet = declared(Level), declared(UNet)
    assert level["channels"].type == Optional(Scalar(int))
    assert level["attention"].type == Optional(Slot(Attention))
    assert unet["levels"].type == ListOf(RecordOf(Level))
    assert unet["levels"].required
    assert unet["block"].type == Slot(Block)
    assert unet["narrow"].type == Words(("next_block", "upsample", "this_block"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("rms", "rms"),
        ("none", "none"),
        ({"groups": 8}, "group"),
        ({"type": "layer", "bias": False}, "layer"),
        (None, "group"),
    ],
)
def test_a_slot_takes_a_name_or_a_mapping(value: Any, expected: str) -> None:
    assert parse(Slot(Norm), value, {}, choice("group")).name == expected


def test_a_fields_own_default_settings_hold_for_its_component_alone() -> None:
    """The transformer's entry norm has eps 1e-6 as long as it is a group norm."""
    default = Choice("group", {"eps": 1e-6})
    assert parse(Slot(Norm), {"groups": 8}, {}, default) == GroupNorm(groups=8, eps=1e-6)
    assert parse(Slot(Norm), "group", {}, default).eps == 1e-6
    assert parse(Slot(Norm), {"eps": 1e-3}, {}, default).eps == 1e-3
    assert parse(Slot(Norm), "layer", {}, default).eps == 1e-5


def test_a_convention_lies_between_defaults_and_the_spec() -> None:
    lineage = {"norm.group": {"eps": 1e-4, "groups": 4}}
    assert parse(Slot(Norm), {"groups": 8}, lineage) == GroupNorm(groups=8, eps=1e-4)
    assert parse(Slot(Norm), "rms", lineage).eps == 1e-6
    block = parse(Slot(Block), "resnet", lineage)
    assert block.norm == GroupNorm(groups=4, eps=1e-4)


def test_shorthands() -> None:
    assert parse(RecordOf(Level), 64, {}) == Level(channels=64)
    assert parse(ListOf(RecordOf(Level)), [64, {"channels": 128, "blocks": 1}], {})[1].blocks == 1
    assert parse(Slot(registry.kinds()["transformer"]), 3, {}).depth == 3


def test_whole_numbers_are_floats_where_a_float_is_meant() -> None:
    """4 and 4.0 are one spec, with one hash."""
    assert isinstance(parse(Scalar(float), 4, {}), float)


def test_records_are_values() -> None:
    norm = GroupNorm(groups=8)
    assert norm == GroupNorm(groups=8)
    assert norm != replace(norm, groups=4)
    assert len({norm, GroupNorm(groups=8)}) == 1
    with pytest.raises(FrozenInstanceError):
        norm.groups = 4  # type: ignore[misc]  # frozen
    assert GroupNorm() != registry.named("norm")["layer"]()
