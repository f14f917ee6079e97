"""Damaged specs end in words: no other exception, no long thought, whatever is deleted, swapped or made huge.

NETSPEC_EXAMPLES=5000 looks longer than CI does; NETSPEC_SEED=1 looks elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from mutated import mutated

from netspec import api, cli, registry, render
from netspec import spec as specs
from netspec.analysis import tables
from netspec.builder import MAX_NODES, Builder
from netspec.errors import Diagnostic, SpecError

SPECS = [yaml.safe_load(path.read_text()) for path in sorted((Path(__file__).parent.parent / "specs").rglob("*.yaml"))]
EXAMPLES, SEED = int(os.environ.get("NETSPEC_EXAMPLES", "400")), os.environ.get("NETSPEC_SEED", "0")
SECONDS = 1.0  # of this process's own time, to check one file: the bar for hostile files


def checked(file: Path) -> tuple[list[Diagnostic], float]:
    """What is found, and the processor's time that it took."""
    start = time.process_time()
    return api.check(file), time.process_time() - start


def test_mutated_specs(tmp_path: Path) -> None:
    registry.load_all()
    sound = 0
    for index in range(EXAMPLES):
        random = Random(f"{SEED} {index}")
        file = tmp_path / "spec.yaml"
        file.write_text(json.dumps(mutated(random, random.choice(SPECS)), ensure_ascii=False), encoding="utf-8")
        findings, seconds = checked(file)
        if seconds >= SECONDS:
            findings, seconds = checked(file)  # a busy machine is not slow twice
        assert seconds < SECONDS, file.read_text()
        assert all(each.code < "NS900" for each in findings)
        assert bool(render.render(findings, color=False)) == bool(findings)
        if not findings:
            sound += 1
            loaded = api.load(file)
            assert tables.text(api.summary(loaded))
            assert api.loads(specs.text(loaded)) == loaded
    assert sound < EXAMPLES // 2


@pytest.mark.parametrize("text", [
    "=", "==", "a", "a=", ".=1", "a..b=1", "unet=none", "unet=", "unet={}", "unet=[]", "unet.levels=[]", "inputs=none",
    "unet.levels[-1]=3", "unet.levels[99999999999999999999]=3", "unet.levels[0].channels=1e400", "dims.batch=0",
    "dims={}", "unet.levels[0][0]=1", "netspec=2", "name=[", "name=層", "unet.block=!!python/name:os.system",
    "unet.block=&a [*a]", "unet.mid=true", "conditioning=3", "output=[1]", "unet.levels={a: 1}", "convention=[]",
    "unet.levels[0].channels=9223372036854775807", "expect.params=-1", "targets.a=1", "variants.a=1", "extends=x.yaml",
    "\0=1", "a\nb=1", "unet.block.norm.groups=1000000000000000000", "unet.block.kernel=9007199254740993",
])  # fmt: skip
def test_settings(text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(__file__).parent.parent / "specs" / "tiny" / "unet.yaml"
    monkeypatch.setattr(sys, "argv", ["netspec", "check", str(file), "--set", text])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code in (0, 1, 2), capsys.readouterr().err


def test_variants_near_the_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 64 variants may have 4,096 nodes; all of them may not, and nobody waits until they are counted."""
    rows = ", ".join(["{channels: 64, blocks: 250}"] * 5)
    text = "netspec: 1\nname: net\ninputs: {x: [1, 3, 64, 64]}\noutput: [1, 3, 64, 64]\n"
    text += "unet: {levels: [64, 64], block: {modulation: none}}\nvariants:\n"
    file = tmp_path / "many.yaml"
    file.write_text(text + "".join(f"  v{index}: {{unet.levels: [{rows}]}}\n" for index in range(64)))
    add, added = Builder.add, Counter[str]()

    def counted(b: Builder, name: str, *args: Any, **words: Any) -> Any:
        added[name] += 1
        return add(b, name, *args, **words)

    monkeypatch.setattr(Builder, "add", counted)
    (found,) = api.check(file)
    assert found.code == "NS316"
    assert 3 * MAX_NODES < added.total() < 6 * MAX_NODES


def test_numbers_beyond_any_file_are_refused(tmp_path: Path) -> None:
    text = "netspec: 1\nname: net\ninputs: {x: [1, 3, 64, 64]}\noutput: [1, 3, 64, 64]\n"
    text += "unet: {levels: [4000000000000000000], block: {modulation: none}}\n"
    with pytest.raises(SpecError, match="NS316"):
        api.lower(api.loads(text))
