"""netspec: a YAML spec of a diffusion denoiser → a PyTorch graph → verified ONNX.

    spec = netspec.load("specs/unet/sd15.yaml", set={"unet.blocks_per_level": 3})
    plan = netspec.lower(spec)
    model = netspec.build(plan)

Names are imported when they are first used: `import netspec` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netspec.api import build, check, load, load_weights, loads, lower, save_weights, summary
    from netspec.errors import Diagnostic, NetspecError
    from netspec.fields import Param, choice
    from netspec.plan import Plan
    from netspec.registry import Component
    from netspec.spec import Spec

__version__ = "0.1.0"

_HOMES = {
    "load": "netspec.api",
    "loads": "netspec.api",
    "check": "netspec.api",
    "lower": "netspec.api",
    "build": "netspec.api",
    "summary": "netspec.api",
    "load_weights": "netspec.api",
    "save_weights": "netspec.api",
    "Spec": "netspec.spec",
    "Plan": "netspec.plan",
    "Component": "netspec.registry",
    "Param": "netspec.fields",
    "choice": "netspec.fields",
    "NetspecError": "netspec.errors",
    "Diagnostic": "netspec.errors",
}

__all__ = [
    "Component", "Diagnostic", "NetspecError", "Param", "Plan", "Spec", "build", "check", "choice", "load",
    "load_weights", "loads", "lower", "save_weights", "summary",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'netspec' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
