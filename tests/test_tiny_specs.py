"""Every tiny spec, the stand-in of its family, from YAML to ONNX and back: parity at min, opt, max and an odd size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netspec import api, compiler, planner
from netspec.deployment import deployments
from netspec.planner.points import points

TINY = sorted((Path(__file__).parent.parent / "specs" / "tiny").glob("*.yaml"), key=lambda path: path.stem)


@pytest.mark.parametrize("path", TINY, ids=lambda path: path.stem)
def test_builds_with_parity(path: Path, tmp_path: Path) -> None:
    """A build fails where parity does; here: that all four sizes were there to be compared."""
    spec = api.load(path)
    compiler.compile(spec, tmp_path / "out", compiler.Options())
    rows = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["parity"]
    assert rows
    assert all(row["passed"] for row in rows)
    tried = {tuple(sorted(row["sizes"].items())) for row in rows}
    found = [points(deployment.plan) for deployment in deployments(planner.lower(spec))]
    assert {tuple(sorted(point.sizes.items())) for each in found for point in each} == tried
    assert all(len(each) == 4 for each in found), "a tiny spec has room for min, opt, max and odd"
