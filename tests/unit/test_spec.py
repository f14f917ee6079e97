"""resolve(): every choice typed, equal by content, and plain data that means the same when read again."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from netspec import conventions, layers
from netspec import spec as specs
from netspec.document import loads
from netspec.errors import InvariantError
from netspec.spec import Dim, Expect, Input, Precision, Spec

NET = """\
netspec: 1
name: net
inputs:
  x: [batch, 4, height, 16]
  y: {shape: [batch], dtype: int32}
  t: [batch]
output: [batch, 4, height, 16]
dims: {batch: 2, height: {min: 8, opt: 16, max: 32}}
conditioning:
  t: {embed: sinusoidal, dim: 16, init_std: none}
  y: {embed: label, classes: 10}
unet:
  levels: [32, {channels: 64, transformer: 1}]
  transformer: {num_heads: 8}
  mid: none
targets:
  edge: {exporter: onnx, precision: fp16, dims: {batch: 1, height: 8}, flavour: small}
expect: {gflops: 1.5, output: [2, 4, 16, 16]}
"""


def resolve(text: str = NET, *settings: str) -> Spec:
    return specs.resolve(layers.compose(loads(text, "net.yaml"), settings=settings))


def test_reads_every_part() -> None:
    spec = resolve()
    assert spec.name == "net"
    assert spec.convention == "ldm"  # the family's own
    assert dict(spec.inputs) == {
        "x": Input(("batch", 4, "height", 16)),
        "y": Input(("batch",), "int32"),
        "t": Input(("batch",)),
    }
    assert dict(spec.outputs) == {"output": Input(("batch", 4, "height", 16))}
    assert dict(spec.dims) == {"batch": Dim(2, 2, 2), "height": Dim(8, 16, 32)}
    assert {name: rule.name for name, rule in spec.conditioning.items()} == {"t": "sinusoidal", "y": "label"}
    target = spec.targets["edge"]
    assert (target.exporter, target.precision, dict(target.options)) == (
        "onnx", Precision("fp16"), {"flavour": "small"},
    )  # fmt: skip
    assert dict(target.dims) == {"batch": Dim(1, 1, 1), "height": Dim(8, 8, 8)}
    assert spec.expect == Expect(gflops=1.5, output=(2, 4, 16, 16))


def test_says_one_thing_in_many_ways() -> None:
    """Order, comments, shorthands and defaults written out change nothing."""
    shuffled = yaml.safe_load(NET)
    shuffled = dict(reversed(shuffled.items()))
    shuffled["unet"]["levels"][0] = {"channels": 32}
    shuffled["unet"]["blocks_per_level"] = 2
    shuffled["outputs"] = {"output": shuffled.pop("output")}
    assert resolve(yaml.safe_dump(shuffled, sort_keys=False)) == resolve()
    assert resolve(yaml.safe_dump(shuffled, sort_keys=False)).sha256 == resolve().sha256


@pytest.mark.parametrize(
    "setting",
    ["name=other", "unet.block.dropout=0.1", "dims.height.max=64", "targets.edge.precision=fp32", "convention=adm"],
)
def test_every_choice_counts(setting: str) -> None:
    other = resolve(NET.replace("expect:", "description: words\nexpect:"), setting)
    assert other != resolve()
    assert other.sha256 != resolve().sha256


def test_is_a_value() -> None:
    spec = resolve()
    assert {spec: 1}[resolve()] == 1
    with pytest.raises(FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]  # frozen
    with pytest.raises(TypeError):
        spec.dims["batch"] = Dim(1, 1, 1)  # type: ignore[index]  # read-only


def test_text_needs_nothing_else() -> None:
    """Read by any YAML 1.1 parser as well: the numbers mean the same there."""
    spec = resolve()
    text = specs.text(spec)
    assert resolve(text) == spec
    assert yaml.safe_load(text) == loads(text).data
    assert "extends" not in text
    assert "variants" not in text


@settings(deadline=None)
@given(st.floats(1e-12, 1e12), st.sampled_from(["norm.eps", "scale"]))
def test_numbers_survive_to_the_last_bit(value: float, key: str) -> None:
    spec = resolve(NET, f"unet.block.{key}={value!r}")
    assert resolve(specs.text(spec)) == spec
    block: Any = spec.family.block  # type: ignore[attr-defined]  # a U-Net has one
    assert (block.norm.eps if key == "norm.eps" else block.scale) == value


@settings(deadline=None)
@given(
    st.sampled_from(["0E0", "1e4", "0o7", "-.5", ".inf", "true", "no", "~", "2026-11-21"])
    | st.text(min_size=1, max_size=40).filter(str.isprintable)
)
def test_any_text_survives(words: str) -> None:
    data = {**yaml.safe_load(NET), "description": words}
    spec = resolve(yaml.dump(data, Dumper=specs._Dumper, allow_unicode=True))
    assert spec.description == words
    assert resolve(specs.text(spec)) == spec


def test_places() -> None:
    spec = resolve()
    assert spec.place(("unet", "levels", 1, "transformer", "num_heads")).value.line == 14  # inherited
    assert spec.place(("unet", "head", "kernel")).key == spec.place(("unet",)).key  # a default: the family
    assert spec.place(("nothing",)).key is None  # the whole file
    bare = specs.Spec(**{**vars(spec), "document": None})
    with pytest.raises(InvariantError):
        bare.place(("unet",))


@pytest.mark.parametrize("name", conventions.names())
def test_conventions_set_what_exists(name: str) -> None:
    """A convention's keys are components and their fields, and its values mean something to them."""
    from netspec import registry

    for key, chosen in conventions.settings(name).items():
        kind, _, component = key.partition(".")
        cls = registry.named(kind)[component]
        assert chosen
        assert chosen.keys() <= registry.declared(cls).keys()
        for field, value in chosen.items():
            registry.parse(registry.declared(cls)[field].type, value, {})


def test_a_convention_changes_the_silent_numerics_alone() -> None:
    ldm, ddpm = resolve(), resolve(NET, "convention=ddpm")
    assert ddpm.conditioning["t"].order == "sin_cos"  # type: ignore[attr-defined]  # sinusoids have an order
    assert ldm.conditioning["t"].order == "cos_sin"  # type: ignore[attr-defined]
    stated = resolve(NET, "convention=ddpm", "conditioning.t.order=cos_sin")
    assert stated.conditioning["t"].order == "cos_sin"  # type: ignore[attr-defined]
