"""Back to the settings of diffusers, and the two commands as a shell sees them."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from test_import_published import DDPM, SD1

from netspec import api, cli, planner, render, shipped
from netspec.errors import ForeignError
from netspec.importers import Options, importers
from netspec.importers.comparing import differences
from netspec.importers.drafts import lowered
from netspec.importers.exporting import export
from netspec.importers.foreign import Config
from netspec.importers.spelling import shortest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def exported() -> dict[str, dict[str, Any] | str]:
    """What comes of every shipped spec: settings, or the codes and paths of the refusal."""
    found: dict[str, dict[str, Any] | str] = {}
    for name in shipped.names():
        path = shipped.folder() / f"{name}.yaml"
        for variant in (None, *api.load(path).variants):
            called = f"{name}@{variant}" if variant else name
            try:
                found[called] = export(api.load(path, variant=variant))
            except ForeignError as error:
                found[called] = " ".join(each.path for each in error.diagnostics)
    return found


def test_what_diffusers_cannot_express_of_the_shipped_specs(exported: Mapping[str, dict[str, Any] | str]) -> None:
    """And why. Everything else it can."""
    reasons = {name: paths for name, paths in exported.items() if isinstance(paths, str)}
    classic = {
        "light_unet",
        "padded_unet",
        "same_padding_unet",
        "simple_unet",
        "teaching_unet",
        "tied_unet",
        "unet_2015",
    }
    reasons = {
        name: paths for name, paths in reasons.items() if name.partition("/")[2].partition("@")[0] not in classic
    }
    dits = {name for name in reasons if name.startswith("dit/dit_xl_2")}
    assert all(
        reasons.pop(name) in ("conditioning.t.freq_shift", "conditioning.t.freq_shift dit.modulation", "dit")
        for name in dits
    )
    small = {name: reasons.pop(name) for name in [*reasons] if name.startswith("tiny/")}
    assert all("dim" in paths for paths in small.values())  # 256 sinusoids, whatever the width
    assert reasons == {
        "autoencoder/kl_f4@vq": "outputs autoencoder.encoder.output",
        "autoencoder/kl_f4@vq-noattn": "outputs autoencoder.encoder.output",
        "unet/adm@64-to-256": "unet.image unet.levels[4].attention.num_heads",
        "unet/adm@128-to-512": "unet.image",
        "unet/adm@cond-128": "unet.levels[3].attention.num_heads",
        "unet/adm@cond-512": "conditioning.t.dim",
        "unet/improved_diffusion@64-to-256": "unet.image",
        "unet/improved_diffusion@imagenet64": "unet.levels[2].attention.num_heads",
        "unet/improved_diffusion@imagenet64-cond": "unet.levels[2].attention.num_heads",
        "unet/ldm@churches": "unet.levels[1].attention.num_heads",
        "unet/ldm@inpainting": "unet.levels[2].attention.num_heads",
    }


def test_what_is_exported_is_imported_again(exported: Mapping[str, dict[str, Any] | str]) -> None:
    for name, config in exported.items():
        if isinstance(config, str):
            continue
        path, _, variant = name.partition("@")
        plan = planner.lower(api.load(shipped.folder() / f"{path}.yaml", variant=variant or None))
        importer = importers()[f"diffusers {config['_class_name']}"]
        again = lowered(importer.to_spec(Config.of(config, importer.defaults), Options()), name)
        assert not list(differences(plan, again)), name
        assert again.cost.params == plan.cost.params, name


BUILT = ("unet/ddpm_cifar10", "unet/adm@cond-64", "unet/sd15", "unet/sdxl", "unet/sd_x4_upscaler", "autoencoder/kl_f16",
         "dit/pixart_xl_2", "dit/sd3_medium@3.5-medium", "dit/flux_dev@schnell")  # fmt: skip


@pytest.mark.parametrize("name", BUILT)
def test_diffusers_builds_what_is_exported(name: str, exported: Mapping[str, dict[str, Any] | str]) -> None:
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        import diffusers

        config = dict(exported[name])  # type: ignore[arg-type]  # it is no refusal
        model: Any = getattr(diffusers, config.pop("_class_name"))(**config)
    path, _, variant = name.partition("@")
    plan = planner.lower(api.load(shipped.folder() / f"{path}.yaml", variant=variant or None))
    assert sum(parameter.numel() for parameter in model.parameters()) == plan.cost.params


def test_a_refusal_of_diffusers_is_told_at_its_place() -> None:
    with pytest.raises(ForeignError) as caught:
        export(api.load(shipped.folder() / "unet" / "simple_unet.yaml"))
    text = render.render(caught.value.diagnostics).replace(f"{shipped.folder()}/", "")
    assert (
        text
        == """\
error[NS646]: diffusers' UNet2DModel has no `unet.upsample: conv_transpose(kernel=4)`
  --> unet/simple_unet.yaml:22:3
   |
22 |   upsample: {type: conv_transpose, kernel: 4}
   |   ^^^^^^^^ it has `nearest` there

error[NS646]: diffusers' UNet2DModel has no `unet.skip.per: level`
  --> unet/simple_unet.yaml:23:10
   |
23 |   skip: {per: level, merge: concat}    # one skip for each level
   |          ^^^ it has `block` there

unet/simple_unet.yaml: 2 errors
"""
    )
    with pytest.raises(ForeignError) as caught:
        export(api.load(shipped.folder() / "dit" / "dit_xl_2.yaml", variant="in-context"))
    (found,) = caught.value.diagnostics
    assert found.code == "NS647"
    assert found.message == "diffusers has no class for this `dit`"


@pytest.mark.parametrize("name", ["unet/sd15", "unet/adm", "unet/tied_unet", "dit/flux_dev", "tiny/light_unet"])
def test_the_shortest_spelling_is_an_equal_spec(name: str) -> None:
    spec = api.load(shipped.folder() / f"{name}.yaml")
    data = shortest(spec)
    again = api.loads(json.dumps(data))
    assert again.family == spec.family
    assert again.conditioning == spec.conditioning
    assert shortest(again) == data


# Commands

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)
    Path("config.json").write_text(json.dumps(SD1))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["netspec", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return int(stopped.value.code or 0), printed.out, printed.err

    return call


def test_import_writes_a_file_once(run: Run, tmp_path: Path) -> None:
    wrote = "wrote sd.yaml: 859,520,964 parameters, the network of unet/sd15\n"
    assert run("import", ".", "-o", "sd.yaml") == (0, wrote, "")
    first = Path("sd.yaml").read_text()
    assert "name: sd\n" in first
    code, out, err = run("import", "config.json", "-o", "sd.yaml")
    assert (code, out) == (2, "")
    assert err.startswith(
        "error[NS924]: sd.yaml exists already\n  = help: choose another name, or overwrite it with `--force`"
    )
    assert run("import", "config.json", "-o", "sd.yaml", "--force", "--name", "mine")[0] == 0
    assert Path("sd.yaml").read_text() == first.replace("name: sd\n", "name: mine\n")
    code, told, _ = run("check", "sd.yaml")
    assert code == 0
    assert told.startswith("warning[NS807]: heads of 40 channels") and told.endswith("sd.yaml: 1 warning\n")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.json", "sd.yaml"]
    code, _, err = run("import", "config.json", "-o", "no/sd.yaml")
    assert (code, err[:42]) == (1, "error[NS617]: cannot write no/sd.yaml: No ")


def test_import_prints_where_no_file_is_named(run: Run) -> None:
    code, out, err = run("import", "config.json", "--heads", "4")
    assert (code, err) == (0, "not used: --heads; the file leaves nothing of that open\n")
    assert out.startswith("# Imported from config.json (diffusers, UNet2DConditionModel); 859,520,964 parameters.\n")
    assert run("import", "config.json", "--axes", "a,b")[0] == 2
    assert run("import", "absent.json")[0] == 1
    assert run("import", "absent.safetensors")[0] == 1


def test_export_config_goes_back(run: Run) -> None:
    run("import", "config.json", "-o", "sd.yaml")
    code, out, err = run("export-config", "sd.yaml", "--set", "unet.blocks_per_level=1")
    assert (code, err) == (0, "")
    assert json.loads(out)["layers_per_block"] == 1
    assert run("export-config", "sd.yaml", "-o", "back.json") == (0, "wrote back.json: UNet2DConditionModel\n", "")
    back = json.loads(Path("back.json").read_text())
    assert {key: SD1[key] for key in back if key in SD1} == {key: back[key] for key in back if key in SD1}
    assert run("export-config", "sd.yaml", "-o", "back.json")[0] == 2
    assert "error[NS646]" in run("export-config", "sd.yaml", "--set", "unet.downsample=maxpool")[2]


def test_neither_command_imports_torch_for_settings(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(DDPM))
    script = (
        "import sys; from netspec.cli import app; "
        f"app(['import', {str(tmp_path)!r}, '-o', {str(tmp_path / 'x.yaml')!r}], standalone_mode=False); "
        f"app(['export-config', {str(tmp_path / 'x.yaml')!r}], standalone_mode=False); "
        "assert not {'torch', 'numpy', 'diffusers'} & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
