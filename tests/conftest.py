"""What the tests share: the shipped specs, a way to lower text, and `--regen` to write goldens anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from netspec import api, compiler, document, layers, planner, spec
from netspec.plan import Plan
from tests.tensorrt_targets import loaded, target

ROOT = Path(__file__).parent.parent
SPECS = ROOT / "specs"
GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regen", action="store_true", help="write the golden files instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the text equals the file below tests/golden, or becomes it with --regen."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--regen"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path} is missing: run pytest --regen and read what it wrote"
        assert path.read_text(encoding="utf-8") == text

    return compare


@pytest.fixture
def lower() -> Callable[..., Plan]:
    """`lower(text, name="net.yaml", variant=None, settings=())`: a spec's text to its plan."""

    def to_plan(text: str, name: str = "net.yaml", **layered: object) -> Plan:
        return planner.lower(spec.resolve(layers.compose(document.loads(text, name), **layered)))  # type: ignore[arg-type]

    return to_plan


torch.set_num_threads(1)  # the networks here are tiny: threads would only wait for each other


@pytest.fixture(autouse=True)
def _random_state() -> None:
    """Every test starts from the same random numbers, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each tiny spec, as `netspec build` writes it. Shared: copy one before you change it."""
    folder = tmp_path_factory.mktemp("bundles")
    for name in ("unet", "dit"):
        compiler.compile(api.load(SPECS / "tiny" / f"{name}.yaml"), folder / name, compiler.Options())
    return {name: folder / name for name in ("unet", "dit")}


@pytest.fixture(scope="session")
def tensorrt_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network for TensorRT in four ways, with weights and parity. Shared: copy a folder before you change it."""
    wanted = {"single": target("fp32"), "half": target("fp16"), "brain": target("bf16")}
    spec = loaded("dit", **wanted, native=target("fp16", attention="native"))
    return compiler.compile(spec, tmp_path_factory.mktemp("tensorrt") / "out", compiler.Options()).folder
