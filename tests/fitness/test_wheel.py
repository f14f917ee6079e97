"""The wheel holds everything that netspec reads at run time, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.skipif(find_spec("hatchling") is None, reason="builds offline, so hatchling must be installed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_two_packages_and_nothing_beside_them(wheel: zipfile.ZipFile) -> None:
    top = {name.partition("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"netspec", "exporters"}


def test_every_file_that_is_read_at_run_time(wheel: zipfile.ZipFile) -> None:
    shipped = [path for folder in ("netspec", "exporters") for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = {path.relative_to(ROOT).as_posix() for path in shipped if "__pycache__" not in path.parts}
    wanted |= {f"netspec/specs/{path.relative_to(ROOT / 'specs').as_posix()}" for path in ROOT.glob("specs/*/*.yaml")}
    assert {name for name in wheel.namelist() if ".dist-info/" not in name} == wanted
    assert wanted >= {
        "netspec/netspec.schema.json",
        "netspec/py.typed",
        "netspec/conventions/ddpm.yaml",
        "netspec/templates/unet.yaml",
        "netspec/specs/tiny/unet.yaml",
        "netspec/explanations/NS302.md",
        "exporters/onnx/exporter.py",
    }


def test_console_script_and_exporters_are_declared(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    text = wheel.read(name).decode()
    assert "netspec = netspec.cli:main" in text
    declared = text.partition("[netspec.exporters]\n")[2].partition("\n\n")[0].splitlines()
    assert "onnx = exporters.onnx:OnnxExporter" in declared
