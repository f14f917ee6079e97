"""The weights that parity runs on where fresh ones would hide errors: whatever a node does shows in the output."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, fx

from exporters.onnx.exporter import OnnxExporter
from netspec import api, compiler, graph, parity
from netspec.errors import ParityError
from netspec.graph import Model
from netspec.planner.points import points
from netspec.target import ExportRequest
from netspec.weights import store
from netspec.weights.aligned import load_tensors
from netspec.weights.probe import write_probe

SPECS = sorted((Path(__file__).parents[2] / "specs" / "tiny").glob("*.yaml"), key=lambda path: path.stem)
STEMS = [path.stem for path in SPECS]


def probed(path: Path, folder: Path) -> Model:
    """The network of a spec on the weights that a build's parity gives it."""
    plan = api.lower(api.load(path))
    model = graph.build(plan, device="meta").eval()
    layout, fresh = store.layout_of(plan, model), folder / "fresh.safetensors"
    store.write_random(plan, layout, fresh, seed=0, progress=lambda name: None)
    before = fresh.read_bytes()
    write_probe(model, fresh, folder / "probe.safetensors")
    assert fresh.read_bytes() == before
    store.fill(model, folder / "probe.safetensors")
    return model


class Disturbed(fx.Interpreter):
    """A run in which one node is wrong by a percent."""

    wrong = ""

    def run_node(self, n: fx.Node) -> object:
        made = super().run_node(n)
        if n.name == self.wrong and isinstance(made, Tensor):
            made = made * (1 + 0.01 * torch.randn(made.shape, generator=torch.Generator().manual_seed(0)))
        return made


@pytest.mark.parametrize("path", SPECS, ids=STEMS)
def test_a_percent_anywhere_is_more_than_parity_allows(path: Path, tmp_path: Path) -> None:
    model = probed(path, tmp_path)
    smallest = min(points(model.plan), key=lambda point: point.macs)
    inputs = parity.inputs_at(model.plan, smallest.sizes)
    tensors = [torch.from_numpy(array) for array in inputs.values()]
    run = Disturbed(model)

    def outputs() -> tuple[Tensor, ...]:
        with torch.no_grad():
            made = run.run(*tensors)
        return made if isinstance(made, tuple) else (made,)

    wanted = outputs()
    for node in model.plan:
        run.wrong = node.name
        off = [
            float((got - right).abs().max() / right.abs().max()) for got, right in zip(outputs(), wanted, strict=True)
        ]
        assert max(off) > parity.FP32_TOLERANCE, node.name


def test_nothing_is_constant_and_kernels_keep_the_scale(tmp_path: Path) -> None:
    probed(SPECS[STEMS.index("padded_unet")], tmp_path)
    fresh, probe = (dict(load_tensors(tmp_path / f"{name}.safetensors")) for name in ("fresh", "probe"))
    assert fresh.keys() == probe.keys()
    for name, tensor in probe.items():
        if tensor.is_floating_point():
            assert tensor.unique().numel() > 1, name
            assert tensor.dtype == fresh[name].dtype
    ratio = probe["down_1_block_0.conv.weight"] / fresh["down_1_block_0.conv.weight"]
    assert float(ratio.max()) == pytest.approx(float(ratio.min()), rel=1e-5)
    rows = probe["down_1_block_0.conv.weight"].flatten(1)
    assert float(rows.square().sum(1).mean()) == pytest.approx(2, rel=0.01)  # He et al. 2015, Eq. 10
    assert float(probe["down_1_block_0.norm.running_var"].min()) > 0


@pytest.mark.parametrize(("name", "deepest"), [("padded_unet", "down_2_block_1"), ("tied_unet", "mid_block_0")])
def test_a_build_catches_an_error_in_the_deepest_level(
    name: str, deepest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One convolution that looks a row too high, below every skip."""
    export = OnnxExporter.run

    def broken(self: OnnxExporter, request: ExportRequest, folder: Path) -> tuple[Path, ...]:
        made = export(self, request, folder)
        (file,) = folder.glob("*.onnx")
        model = onnx.load(file, load_external_data=False)
        [conv] = [node for node in model.graph.node if node.op_type == "Conv" and deepest in node.name]
        next(each for each in conv.attribute if each.name == "pads").ints[:] = [0, 1, 2, 1]  # one row too high
        onnx.save(model, file)
        return made

    spec = api.load(SPECS[STEMS.index(name)])
    compiler.compile(spec, tmp_path / "sound", compiler.Options())
    monkeypatch.setattr(OnnxExporter, "run", broken)
    with pytest.raises(ParityError) as caught:
        compiler.compile(spec, tmp_path / "out", compiler.Options())
    assert f"`{deepest}`" in str(caught.value)
