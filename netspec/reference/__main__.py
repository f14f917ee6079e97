"""Write the generated pages of docs/ anew, in the checkout that this package lies in."""

from __future__ import annotations

from pathlib import Path

from netspec.reference import beside, pages

ROOT = Path(__file__).resolve().parent.parent.parent

if __name__ == "__main__":
    pages.write(ROOT / "docs" / "reference", ROOT / "specs")
    beside.write(ROOT / "docs", ROOT / "specs")
