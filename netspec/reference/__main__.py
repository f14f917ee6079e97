"""Write docs/reference/ anew, in the checkout that this package lies in."""

from __future__ import annotations

from pathlib import Path

from netspec.reference.pages import write

ROOT = Path(__file__).resolve().parent.parent.parent

if __name__ == "__main__":
    write(ROOT / "docs" / "reference", ROOT / "specs")
