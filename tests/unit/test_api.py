"""The public functions as a program uses them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch

import netspec
from netspec import api
from netspec.errors import SpecError, UnknownName, WeightsError

UNET = Path(__file__).parents[2] / "specs" / "tiny" / "unet.yaml"


def test_every_public_name_is_there_and_no_other() -> None:
    assert set(netspec.__all__) == set(netspec._HOMES)
    for name in netspec.__all__:
        assert getattr(netspec, name).__doc__, name
    assert dir(netspec) == sorted([*netspec.__all__, "__version__"])
    with pytest.raises(AttributeError, match="no attribute 'compille'"):
        _ = netspec.compille


def test_torch_waits_until_it_is_needed() -> None:
    script = f"""
import sys, netspec
for name in netspec.__all__: getattr(netspec, name)
spec = netspec.load({str(UNET)!r}); netspec.lower(spec); netspec.summary(spec); netspec.check({str(UNET)!r})
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_settings_as_a_mapping_and_as_texts() -> None:
    as_values = {"unet.levels[1].multiplier": 4, "name": "wide", "expect": {}}
    as_texts = ["unet.levels[1].multiplier=4", "name=wide", "expect={}"]
    assert netspec.load(UNET, set=as_values) == netspec.load(UNET, set=as_texts)
    assert netspec.load(UNET, set=as_values) != netspec.load(UNET)
    with pytest.raises(UnknownName):
        netspec.load(UNET, variant="huge")


def test_a_spec_is_a_value() -> None:
    one, two = netspec.load(UNET), netspec.loads(UNET.read_text())
    other = netspec.load(UNET, set={"unet.base_channels": 32, "expect": {}})
    assert one == two and hash(one) == hash(two) and one.sha256 == two.sha256
    assert len({one, two, other}) == 2
    with pytest.raises(FrozenInstanceError):
        one.name = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.dims["batch"] = one.dims["height"]  # type: ignore[index]


def test_check_returns_what_load_raises(tmp_path: Path) -> None:
    assert netspec.check(UNET) == []
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(
        UNET.read_text().replace("blocks_per_level: 1", "blocks_per_leve: 1").replace("dim: 16", "dim: -1")
    )
    found = netspec.check(wrong)
    assert len(found) == 2 and all(each.span is not None for each in found)
    with pytest.raises(SpecError) as caught:
        netspec.load(wrong)
    assert str(caught.value) == str(SpecError(*found))


def test_meta_allocates_nothing_and_takes_weights(bundles: dict[str, Path], tmp_path: Path) -> None:
    spec = netspec.load(UNET)
    model = netspec.build(spec, device="meta")
    assert all(tensor.is_meta for tensor in model.parameters())
    netspec.load_weights(model, bundles["unet"] / "model.safetensors")
    for key, tensor in netspec.build(netspec.lower(spec)).state_dict().items():
        assert torch.equal(tensor, model.state_dict()[key])
    netspec.save_weights(model, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (bundles["unet"] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_survive_a_round_trip(tmp_path: Path, dtype: torch.dtype) -> None:
    spec = netspec.load(UNET)
    model, again = netspec.build(spec, dtype=dtype), netspec.build(spec, dtype=dtype, seed=1)
    netspec.save_weights(model, tmp_path / "w.safetensors")
    assert netspec.load(tmp_path / "w.safetensors") == spec
    netspec.load_weights(again, tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_weights_of_another_network_change_nothing(bundles: dict[str, Path]) -> None:
    model = netspec.build(netspec.load(UNET))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError):
        netspec.load_weights(model, bundles["dit"] / "model.safetensors")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_file_without_a_spec_says_so(tmp_path: Path) -> None:
    import onnx
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    empty = onnx.helper.make_graph([], "g", [], [])
    onnx.save(onnx.helper.make_model(empty), tmp_path / "a.onnx")
    (tmp_path / "b.onnx").write_bytes(b"\xff" * 50)
    for name, code in (("a.safetensors", "NS619"), ("a.onnx", "NS619"), ("b.onnx", "NS607"), ("no.onnx", "NS607")):
        with pytest.raises(WeightsError, match=code):
            api.load(tmp_path / name)


def test_names_that_collide_are_refused() -> None:
    text = UNET.read_text()
    for old, new in (
        ("x:    [", "stem: ["),
        ("output: [batch, 4, height, width]", "outputs: {x: [batch, 4, height, width]}"),
    ):
        with pytest.raises(SpecError, match="NS315"):
            netspec.lower(netspec.loads(text.replace(old, new)))
