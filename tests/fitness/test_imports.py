"""One direction: text becomes a bundle, and nothing imports what comes after it. Exporters know netspec, never back."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# From the first to know to the last; a module imports modules of earlier rows, and of its own name. Modules of one row
# know nothing of each other. Below the line torch may be imported at module level.
ROWS = (
    ("errors", "tensors", "fields", "problems", "roles", "schema_target", "validation.synonyms", "shipped", "markup"),
    ("plugins",),
    (
        "schema_root",
        "document.scalars",
        "document.syntax",
        "render.snippet",
        "validation.suggestions",
        "validation.verdict",
        "registry",
        "costs",
        "bundle.atomic",
        "offers",
    ),
    ("document.refusals", "render.reports", "plan", "shorthands"),
    ("document.composer", "render", "readiness", "target", "transform", "planner.expectations"),
    ("document", "weights.header"),
    ("examples",),
    ("embedded", "conventions", "layers", "validation.locating", "validation.reading", "schema", "inherit"),
    ("activations", "norms", "modulations"),
    ("gates",),
    ("attention", "blocks", "embeds", "positions"),
    ("resample",),
    ("wiring",),
    ("attention.spatial",),  # a stack of wiring's transformer blocks
    ("builder",),
    ("families",),
    ("validation.relations", "validation.wording", "spec"),
    ("validation.findings", "origins", "planner.placing", "planner.sizes"),
    ("validation", "analysis"),
    ("planner",),
    ("lints",),
    ("explanations",),
    ("planner.points", "weights.files", "reference", "drawing"),
    ("weights.aligned",),
    ("bundle.manifest",),
    ("bundle", "cli"),
    ("api",),
    ("diff", "sweep"),
    ("importers", "guide"),
    ("report",),
    ("bench.engine",),
    ("bench.worker",),
    "torch",
    ("ops",),
    ("module",),
    ("graph",),
    ("precision", "rewrites", "diff.tensors"),
    ("weights",),
    ("parity",),
    ("deployment",),
    ("proof",),
    ("compiler",),
    ("verification", "bench"),
    ("sweep.measured",),
    ("integrations.networks", "integrations.arguments", "integrations.packing"),
    ("integrations.diffusers",),
    ("integrations", "__main__"),
)
LINE = ROWS.index("torch")
ORDER = {name: rank for rank, row in enumerate(ROWS) if row != "torch" for name in row}

# Imports inside a function that reach down the table on purpose, and why.
LATE = {
    ("api", "graph"): "build() and load_weights() are the doors to what needs torch",
    ("api", "weights"): "build() and load_weights() are the doors to what needs torch",
    ("importers", "weights"): "checkpoints that are no safetensors are read by torch",
    ("validation", "validation.findings"): "imports jsonschema, which a valid spec never pays for",
}
# Component packages: `build` and `forward` import torch, `netspec.module` and `netspec.ops` when they are called.
COMPONENTS = (
    "activations", "attention", "blocks", "embeds", "gates", "modulations", "norms", "positions", "resample", "wiring",
)  # fmt: skip
# A package's own commands are the end of every chain: they import what they run, when they run.
COMMANDS = "cli"


def modules() -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    found = {}
    for package in ("netspec", "exporters"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, at module level) for every import that runs; those under TYPE_CHECKING do not."""

    def walk(node: ast.AST, top: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.If(test=ast.Name("TYPE_CHECKING")):
                    continue
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from walk(child, False)
                case ast.Import(names):
                    yield from ((each.name, top) for each in names)
                case ast.ImportFrom(module, names):
                    dotted = ((f"{module}.{each.name}", str(module)) for each in names)
                    yield from ((full if full in MODULES else home, top) for full, home in dotted)
                case _:
                    yield from walk(child, top)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def row_of(module: str) -> str:
    """The entry of the table that a module of netspec belongs to: the longest name that it begins with."""
    inside = module.removeprefix("netspec.")
    names = [name for name in ORDER if inside == name or inside.startswith(f"{name}.")]
    assert names, f"{module} has no place in ROWS of {Path(__file__).name}: give it one"
    return max(names, key=len)


def ours() -> list[str]:
    return [module for module in MODULES if module.startswith("netspec.")]


def test_every_module_imports_earlier_ones_only() -> None:
    wrong = []
    for module in ours():
        name = row_of(module)
        for imported, top in imports(MODULES[module]):
            if not imported.startswith("netspec."):
                continue
            other = row_of(imported)
            late = not top and (name == COMMANDS or name.partition(".")[0] in COMPONENTS or (name, other) in LATE)
            if name != other and ORDER[other] >= ORDER[name] and not late:
                wrong.append(f"{module} imports {imported}")
    assert not wrong, wrong


def test_late_imports_are_still_there() -> None:
    used = {
        (row_of(module), row_of(imported))
        for module in ours()
        for imported, top in imports(MODULES[module])
        if not top and imported.startswith("netspec.")
    }
    assert set(LATE) <= used


def test_the_table_names_what_exists() -> None:
    named = {row_of(module) for module in ours()}
    assert set(ORDER) - named == set()


def test_netspec_never_imports_an_exporter() -> None:
    for module in [*ours(), "netspec"]:
        assert not [imported for imported, _ in imports(MODULES[module]) if imported.startswith("exporters")], module


def test_nothing_before_the_line_imports_torch() -> None:
    before = [module for module in ours() if ORDER[row_of(module)] < LINE]
    script = (
        "import importlib, sys\n"
        f"for name in {before!r}: importlib.import_module(name)\n"
        "from netspec import registry; registry.load_all()\n"
        "print(*sorted({'torch', 'onnx', 'onnxruntime', 'onnx_ir', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "\n")


def test_importing_netspec_imports_next_to_nothing() -> None:
    script = "import sys, netspec; print(*sorted(name for name in sys.modules if name.startswith('netspec')))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["netspec"]


@pytest.mark.parametrize("text", ["import torch", "from netspec.cli import check"])
def test_the_reader_of_imports_sees_them(text: str, tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"if TYPE_CHECKING:\n    import numpy\n{text}\ndef f():\n    import json\n")
    found = dict(imports(path))
    assert found.pop("json") is False
    assert list(found.values()) == [True]
