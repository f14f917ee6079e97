"""The component of CONTRIBUTING.md is one: defined by its file alone, it is checked, counted, built and exported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SCRIPT = """
import scale
import torch
from netspec import api, compiler, graph, tensors

spec = api.load("tiny/unet", set={"unet.block.norm": "scale", "expect": {}})
plan = api.lower(spec)
assert plan.cost.params == sum(p.numel() for p in graph.build(plan, device="meta").parameters())
result = compiler.compile(spec, "bundle", compiler.Options())
assert result.manifest.parity and all(row.passed for row in result.manifest.parity)
norm = plan.spec.family.block.norm
assert type(norm) is scale.ScaleNorm
two, eight = tensors.fixed(2), tensors.fixed(8)
for kind, axis in ((tensors.image(two, 16, eight, eight), 1), (tensors.tokens(two, eight, 16), 2)):
    x = torch.randn([size.opt for size in kind.shape], dtype=torch.float64)
    theirs = torch.nn.functional.rms_norm(x.movedim(axis, -1), (16,), eps=norm.eps).movedim(-1, axis)
    assert torch.allclose(norm.build(kind, kind).double()(x), theirs, rtol=0, atol=1e-12)  # sums in another order
"""


def test_the_component_of_the_guide_works(tmp_path: Path) -> None:
    (block,) = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    (tmp_path / "scale.py").write_text(block, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    ruff = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml")]
    rules = [*ruff, "--ignore", "I001", "scale.py"]  # where netspec is no neighbour, imports are sorted otherwise
    assert subprocess.run(rules, cwd=tmp_path, capture_output=True).returncode == 0
