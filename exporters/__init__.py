"""Everything that knows a deployment target. netspec never imports this package; it finds targets by entry point.

target.py     the base class: requires / export / ensures
request.py    what an exporter is given
lowering/     fx → ONNX, shared by every target that speaks ONNX
onnx/ …       one folder per target
"""

from __future__ import annotations

import importlib
import pkgutil
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporters.target import Target

GROUP = "netspec.exporters"


def targets() -> dict[str, type[Target]]:
    """Every exporter by name: the folders beside this file, then installed plugins.

    Raises RegistrationError where two share a name.
    """
    from exporters.target import TARGETS

    for module in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
        if module.ispkg and module.name != "lowering":
            importlib.import_module(f"{__name__}.{module.name}")
    for entry in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        entry.load()
    return dict(sorted(TARGETS.items()))
