"""`netspec build` from end to end on the tiny specs: what a bundle holds, and that it is the same each time."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.external_data_helper import uses_external_data
from safetensors import safe_open

import netspec
from netspec import api, compiler
from netspec.errors import WeightsError
from netspec.weights.load import spec_of

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs" / "tiny"
FILES = ["manifest.json", "model.onnx", "model.safetensors", "plan.txt", "report.html", "spec.yaml"]


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def netspec_build(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from netspec.cli import main; main()", "build", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def graph(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "model.onnx", load_external_data=False)


@pytest.fixture(params=["unet", "dit"])
def bundle(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> Path:
    return bundles[request.param]


def test_it_is_a_spec_to_every_command(bundle: Path, tmp_path: Path) -> None:
    assert api.load(bundle) == api.load(bundle / "spec.yaml")
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"manifest\.json"):
        api.load(tmp_path)


def test_files_and_manifest(bundle: Path) -> None:
    assert sorted(tree(bundle)) == FILES
    manifest: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    assert manifest.keys() == {
        "netspec", "name", "spec_sha256", "params", "inputs", "outputs", "files", "targets", "parity", "tools",
        "recipe",
    }  # fmt: skip
    plan = api.lower(api.load(bundle / "spec.yaml"))
    assert (manifest["name"], manifest["params"]) == (plan.spec.name, plan.cost.params)
    assert manifest["spec_sha256"] == plan.spec.sha256
    assert [port["name"] for port in manifest["inputs"]] == list(plan.spec.inputs)
    for path, entry in manifest["files"].items():
        content = (bundle / path).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert sorted([*manifest["files"], "manifest.json"]) == FILES
    for row in manifest["parity"]:
        assert row.keys() == {"sizes", "timestep", "dtype", "max_abs", "max_rel", "tolerance", "passed"}
        assert row["passed"] and row["max_abs"] > 0 and row["max_rel"] <= row["tolerance"]
    assert {"torch", "onnx", "netspec", "python"} <= manifest["tools"].keys()


def test_parity_runs_at_every_point_and_several_timesteps(bundle: Path) -> None:
    spec = api.load(bundle / "spec.yaml")
    rows = json.loads((bundle / "manifest.json").read_text())["parity"]
    sizes = [row["sizes"] for row in rows]
    for point in ("min", "opt", "max"):
        assert {name: getattr(dim, point) for name, dim in spec.dims.items()} in sizes
    assert len({tuple(each.items()) for each in sizes}) == 4  # and the odd one
    assert {row["timestep"] for row in rows} >= {0.0, 1.0, 500.0, 999.0}


def test_the_graph_is_valid_and_refers_to_the_weights(bundle: Path) -> None:
    onnx.checker.check_model(bundle / "model.onnx", full_check=True)
    raw = (bundle / "model.safetensors").read_bytes()
    model = graph(bundle)
    named = {tensor.name: tensor for tensor in model.graph.initializer if uses_external_data(tensor)}
    with safe_open(bundle / "model.safetensors", framework="numpy") as weights:  # the official reader
        keys = {key for key in weights.keys() if not key.startswith("__pad_")}  # noqa: SIM118  not a mapping
        state = netspec.build(api.load(bundle / "spec.yaml"), device="meta").state_dict()
        assert keys == set(state)
        assert named.keys() <= keys, "an initializer's name is its state-dict key"
        assert {key for key in keys if not key.endswith("num_batches_tracked")} == set(named), "all weights are used"
        for name, tensor in named.items():
            place = {entry.key: entry.value for entry in tensor.external_data}
            assert place.keys() == {"location", "offset", "length"}
            assert place["location"] == "model.safetensors"
            start, length = int(place["offset"]), int(place["length"])
            assert start % 256 == 0
            assert raw[start : start + length] == weights.get_tensor(name).tobytes()


def test_dynamic_sizes_are_the_spec_s(bundle: Path) -> None:
    spec = api.load(bundle / "spec.yaml")
    for value, shape in zip(graph(bundle).graph.input, (i.shape for i in spec.inputs.values()), strict=True):
        found = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        assert tuple(found) == shape


def test_every_onnx_node_says_where_in_the_spec_it_comes_from(bundles: dict[str, Path]) -> None:
    lines = (SPECS / "unet.yaml").read_text().splitlines()
    where: dict[str, set[str]] = {}
    for node in graph(bundles["unet"]).graph.node:
        props = {entry.key: entry.value for entry in node.metadata_props}
        assert props.keys() == {"netspec.path", "netspec.source"}, node.name
        file, _, line = props["netspec.source"].partition(":")
        assert file == "unet.yaml"
        where.setdefault(props["netspec.path"], set()).add(lines[int(line) - 1].strip().partition("#")[0].strip())
    assert where["conditioning"] == {"t: {embed: sinusoidal, dim: 16}"}
    assert where["unet.levels[1]"] == {"- {multiplier: 2, attention: full}"}
    assert where["unet.levels[2]"] == {"- {multiplier: 2, transformer: 1}"}
    assert where["unet.mid"] == {"mid: {transformer: 1}"}
    assert where["unet.head"] == {"head: {norm: {groups: 8}}"}


def test_nothing_of_this_machine_is_in_a_bundle(bundle: Path) -> None:
    words = [str(ROOT), str(bundle), str(Path.home()) + "/", os.uname().nodename, "site-packages", "Traceback", ".py"]
    for path, content in tree(bundle).items():
        if path.endswith(".safetensors"):
            content = content[: int.from_bytes(content[:8], "little")]
        for word in words:
            assert word.encode() not in content, f"{word} in {path}"


def test_a_lone_file_holds_the_spec(bundle: Path, tmp_path: Path) -> None:
    import torch

    spec = api.load(bundle / "spec.yaml")
    for name in ("model.onnx", "model.safetensors"):
        (tmp_path / name).write_bytes((bundle / name).read_bytes())
        assert netspec.load(tmp_path / name) == spec
    assert spec_of(tmp_path / "model.safetensors") == spec
    alone = netspec.build(netspec.load(tmp_path / "model.safetensors"), seed=5)
    netspec.load_weights(alone, tmp_path / "model.safetensors")
    for key, value in netspec.build(spec).state_dict().items():
        assert torch.equal(value, alone.state_dict()[key])


@pytest.mark.parametrize("name", ["unet", "dit"])
def test_built_twice_elsewhere_it_is_the_same_to_the_byte(bundles: dict[str, Path], tmp_path: Path, name: str) -> None:
    spec = os.path.relpath(SPECS / f"{name}.yaml", tmp_path)
    done = netspec_build(spec, "-o", "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert tree(tmp_path / "again") == tree(bundles[name])


def test_what_changes_a_bundle(bundles: dict[str, Path], tmp_path: Path) -> None:
    def build(**options: Any) -> dict[str, bytes]:
        compiler.compile(api.load(SPECS / "dit.yaml"), tmp_path / "out", compiler.Options(force=True, **options))
        return tree(tmp_path / "out")

    first, other = tree(bundles["dit"]), build(seed=1)
    changed = {path for path in FILES if first[path] != other[path]}
    assert changed == {"manifest.json", "model.safetensors", "report.html"}
    assert sorted(build(weights="none")) == [name for name in FILES if name != "model.safetensors"]
    assert build() == first


def test_fresh_does_nothing_and_force_builds(tmp_path: Path) -> None:
    out, spec = tmp_path / "out", tmp_path / "dit.yaml"
    spec.write_text((SPECS / "dit.yaml").read_text())

    def build(force: bool = False, **settings: Any) -> bool:
        loaded = api.load(spec, set={name.replace("__", "."): value for name, value in settings.items()})
        return compiler.compile(loaded, out, compiler.Options(parity=False, force=force)).fresh

    assert not build()
    before = {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")]}
    assert build()
    assert {path: path.stat().st_mtime_ns for path in [out, *out.rglob("*")]} == before
    assert not build(force=True)
    assert not build(dit__qk_norm="none")
    assert not build()
    for damage in (lambda: (out / "model.onnx").unlink(), lambda: os.truncate(out / "model.safetensors", 9000)):
        damage()
        assert not build() and build()
    (out / "manifest.json").write_text((out / "manifest.json").read_text().replace("tiny-dit", "tiny-dot"))
    assert not build() and build()
    spec.write_text("# one more line\n" + spec.read_text())
    assert not build(), "the graph names lines of the spec: they moved"


def test_the_closing_words(tmp_path: Path) -> None:
    done = netspec_build(SPECS / "dit.yaml", "-o", tmp_path / "out")
    assert done.returncode == 0 and done.stderr == ""
    assert "tiny-dit  44,032 parameters" in done.stdout
    assert done.stdout.count(" ok") == 7
    assert done.stdout.endswith(f"wrote {tmp_path / 'out'}, and all about it in {tmp_path / 'out' / 'report.html'}\n")
    done = netspec_build(SPECS / "dit.yaml", "-o", tmp_path / "out")
    assert done.stdout == f"{tmp_path / 'out'}: fresh, nothing to do (--force builds again)\n"
