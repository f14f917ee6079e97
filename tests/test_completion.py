"""What a shell is offered: through the completers, through click, and once through a process as bash asks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from netspec import cli, explanations, offers, registry, schema, shipped
from netspec.cli import completion

ROOT = Path(__file__).parent.parent


def offered(*words: str, environment: dict[str, str] | None = None) -> list[str]:
    """What is offered for the last of `netspec …`'s words, as bash takes it."""
    given = {"COMP_WORDS": "\n".join(["netspec", *words]), "COMP_CWORD": str(len(words))}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'netspec'; from netspec.cli import main; main()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **given, "_NETSPEC_COMPLETE": "complete_bash", **(environment or {})},
    )
    assert done.stderr == ""
    return done.stdout.split()


def asked(find: object, incomplete: str, /, **given: object) -> dict[str, str]:
    """What one completer offers, with these arguments on the command line."""
    context = typer.Context(typer.main.get_command(cli.app))
    context.params = given
    return dict(find(context, incomplete))  # type: ignore[operator]


def test_bash_is_answered() -> None:
    assert offered("show", "unet/ad") == ["unet/adm"]
    assert offered("show", "unet/adm", "--set", "unet.levels[2].mul") == [
        "unet.levels[2].multiplier=none",
        "unet.levels[2].multiplier=2",
    ]
    assert offered("show", "unet/adm", "--set", "unet.narrow", "=", "n") == ["next_block"]
    assert offered("show", "unet/adm", "--set", "unet.mid.blocks", "=", "3", "--variant", "cond-2") == ["cond-256"]


@pytest.mark.skipif(shutil.which("bash") is None, reason="asks a bash")
def test_bash_finds_values_behind_an_equals_sign(tmp_path: Path) -> None:
    """The script that is installed, in a bash that takes words apart at `=`."""
    starter = tmp_path / "netspec"
    start = "import sys; sys.argv[0] = 'netspec'; from netspec.cli import main; main()"
    starter.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n', encoding="utf-8")
    starter.chmod(0o755)
    script = (
        'eval "$(_NETSPEC_COMPLETE=source_bash netspec)"\n'
        "COMP_WORDS=(netspec show unet/adm --set unet.narrow = n); COMP_CWORD=6\n"
        '_netspec_completion netspec; printf "%s" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
    )
    assert (done.stdout, done.stderr) == ("next_block", "")


def test_no_torch_and_nothing_on_the_way() -> None:
    """Neither a broken spec nor one that is not there is worth a word; torch is never imported."""
    hook = ROOT / "tests" / "invalid"
    assert offered("show", str(hook / "15_not_yaml.yaml"), "--variant", "") == []
    assert offered("show", "no/such", "--set", "unet.na") == [
        "unet.narrow=next_block",
        "unet.narrow=upsample",
        "unet.narrow=this_block",
    ]
    assert offered("show", "unet/adm", "--set", "]].=x") == []
    script = (
        "import sys; from netspec import cli; from netspec.cli import completion; import typer\n"
        "context = typer.Context(typer.main.get_command(cli.app)); context.params = {'spec': 'unet/adm'}\n"
        "assert completion.settings(context, 'unet.') and completion.layouts(context, '')\n"
        "assert completion.deployments(context, '') and completion.codes(context, '')\n"
        "print(*sorted({'torch', 'onnx', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "\n")


def test_specs_are_files_and_shipped_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets" / "deep").mkdir(parents=True)
    for name in ("a.yaml", "b.yml", "c.txt", "d.onnx", ".hidden.yaml", "nets/e.yaml", "nets/deep/f.yaml"):
        (tmp_path / name).touch()
    assert list(asked(completion.specs, "")) == ["a.yaml", "b.yml", "d.onnx", "nets/", *shipped.names()]
    assert list(asked(completion.specs, "ne")) == ["nets/deep/", "nets/e.yaml"]  # the folder is the only one
    assert list(asked(completion.specs, "nets/d")) == ["nets/deep/f.yaml"]
    assert list(asked(completion.specs, "./a")) == ["./a.yaml"]
    assert list(asked(completion.bundles, "ne")) == ["nets/deep"]


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("conv", ["convention=adm", "convention=ddpm", "convention=dit", "convention=kl", "convention=ldm"]),
        ("inputs.", ["inputs.x", "inputs.t", "inputs.text"]),
        ("unet.lev", ["unet.levels", "unet.levels[0]", "unet.levels[1]", "unet.levels[2]", "unet.levels[3]"]),
        ("unet.levels[3].ch", ["unet.levels[3].channels=none", "unet.levels[3].channels=1280"]),
        ("unet.levels[9].ch", []),
        ("unet.blocks_", ["unet.blocks_per_level=2"]),
        ("unet.block.norm=l", ["unet.block.norm=layer"]),
        ("unet.transformer.qk", []),
        ("conditioning.t.ord", ["conditioning.t.order=cos_sin", "conditioning.t.order=sin_cos"]),
        ("unet.block.zero", ["unet.block.zero_init=true", "unet.block.zero_init=false"]),
        ("unet.downsample.pad", ["unet.downsample.padding=symmetric", "unet.downsample.padding=asymmetric"]),
        ("unet.no_such.", []),
        ("unet.levels[.", []),
    ],
)
def test_paths_of_set(written: str, found: list[str]) -> None:
    answers = asked(completion.settings, written, spec="unet/sd15")
    assert list(answers) == found


def test_paths_follow_the_variant_and_the_component_that_is_named() -> None:
    assert asked(completion.settings, "unet.attention.num", spec="unet/adm", variant="cond-128") == {
        "unet.attention.num_heads=none": "not set, or switched off",
        "unet.attention.num_heads=4": "(as it is)",
    }
    assert list(asked(completion.settings, "conditioning.y.", spec="unet/adm", variant="cond-128")) == [
        "conditioning.y.embed", "conditioning.y.classes", "conditioning.y.dropout", "conditioning.y.init_std",
    ]  # fmt: skip


def test_values_say_what_they_mean() -> None:
    told = asked(completion.settings, "unet.narrow=", spec="unet/sd15")
    assert told["unet.narrow=next_block"] == "in the first block after upsampling"
    assert asked(completion.settings, "unet.block.norm=g", spec="unet/sd15")["unet.block.norm=group"].startswith("Mean")


def test_names_on_the_command_line() -> None:
    assert list(asked(completion.variants, "", spec="dit/dit_xl_2"))[:3] == ["s-2", "s-4", "s-8"]
    assert list(asked(completion.variants, "", specs=["unet/sd15"])) == ["inpainting"]
    assert asked(completion.variants, "") == {}
    assert asked(completion.targets, "", spec="autoencoder/kl_f8") == {"encoder": "onnx", "decoder": "onnx"}
    assert list(asked(completion.targets, "", spec="unet/adm")) == ["onnx"]
    assert list(asked(completion.kinds, "n")) == ["norm"]
    assert {*asked(completion.kinds, "")} == {*registry.kinds()} - {"wiring"} | {"convention", "spec"}
    assert list(asked(completion.codes, "NS3")) == [code for code in explanations.codes() if code.startswith("NS3")]
    assert list(asked(completion.shipped_specs, "ad")) == ["adm"]


def test_axes_of_a_sweep() -> None:
    axis = asked(completion.axes, "unet.upsample=nearest,bil", spec="unet/adm")
    assert list(axis) == ["unet.upsample=nearest,bilinear"]
    assert axis["unet.upsample=nearest,bilinear"].startswith("Interpolated")
    assert asked(completion.axes, "unet.upsample=bil", spec="unet/adm").keys() == {"unet.upsample=bilinear"}
    assert offered("sweep", "unet/adm", "--set", "unet.upsample", "=", "nearest,bil") == ["nearest,bilinear"]
    assert asked(completion.several_variants, "refiner,ve", spec="unet/sdxl") == {"refiner,vega": ""}
    assert {"cpu", "h100"} <= asked(completion.devices, "").keys()
    assert asked(completion.devices, "h100:fp3").keys() == {"h100:fp32"}


def test_layouts_are_those_that_are_registered() -> None:
    from netspec.weights import layouts

    assert {*asked(completion.layouts, "")} == {*layouts.named()} | {"auto"}


@pytest.mark.parametrize(
    ("words", "joined", "before"),
    [
        (["netspec", "show", "a", "--set", "b", "=", "c"], ["netspec", "show", "a", "--set", "c"], "b="),
        (["netspec", "show", "a", "--set", "b", "="], ["netspec", "show", "a", "--set", ""], "b="),
        (["netspec", "show", "--set", "b", "=", "c", "d"], ["netspec", "show", "--set", "b=c", "d"], ""),
        (["netspec", "show", "a"], ["netspec", "show", "a"], ""),
        (["netspec", "show", "--set", "="], ["netspec", "show", "--set", "="], ""),
    ],
)
def test_what_bash_takes_apart_is_joined(words: list[str], joined: list[str], before: str) -> None:
    environment = {
        "_NETSPEC_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    completion.rejoin(environment)
    assert environment["COMP_WORDS"].split("\n") == joined
    assert environment["COMP_CWORD"] == str(len(joined) - 1)
    assert environment.get("_NETSPEC_COMPLETE_BEFORE", "") == before


def test_other_shells_are_left_alone() -> None:
    environment = {"_NETSPEC_COMPLETE": "complete_zsh", "COMP_WORDS": "netspec\na\n=\nb", "COMP_CWORD": "3"}
    completion.rejoin(environment)
    assert environment["COMP_WORDS"] == "netspec\na\n=\nb"


def test_a_failure_is_silent() -> None:
    @completion.silent
    def fail(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
        raise ZeroDivisionError

    assert asked(fail, "") == {}


def test_conditions_are_understood() -> None:
    """Every condition in the schema is of the kinds that the reader of offers knows."""

    def conditions(node: object) -> list[dict[str, object]]:
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [node["if"]] if isinstance(node, dict) and "if" in node else []
        return own + [found for each in inner for found in conditions(each)]

    found = conditions(schema.current())
    assert len(found) > 100
    for test in found:
        assert test.keys() <= {"not", "type", "required", "properties"}
        assert all(each.keys() == {"const"} for each in test.get("properties", {}).values())  # type: ignore[attr-defined]
    assert offers.holds({"type": "integer"}, 3)
    assert not offers.holds({"type": "integer"}, "3")
    assert not offers.holds({"not": {"required": ["type"]}}, {"type": "rms"})
