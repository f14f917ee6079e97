"""The colours and type of every picture and page of ours, light and dark.

Kinds differ in hue for colour-blind readers (blue, amber, violet, teal; Okabe & Ito 2008) and in lightness for grey
print. Text on every surface here has a contrast of 4.5 or more (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from string import Template
from types import MappingProxyType

# Of one set of widths: netspec.drawing.metrics.
FONT = '"Helvetica Neue", Helvetica, Arial, "Liberation Sans", sans-serif'

_SHEETS = Path(__file__).with_name("templates")

LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#ffffff", "card": "#ffffff", "wash": "#f4f6f8", "rule": "#cfd6de", "ink": "#1b2330",
        "muted": "#5a6472", "flow": "#5f6a79", "skip": "#7d8896", "accent": "#2f6da8",
        "conv": "#2f6da8", "attention": "#e2a03f", "resample": "#a9cdc2", "embed": "#a274b5", "ends": "#46515f",
        "other": "#d3d9e0",
        "ramp-0": "#f6f9fc", "ramp-1": "#e2ecf6", "ramp-2": "#c8dbef", "ramp-3": "#a8c6e5", "ramp-4": "#84add9",
        "share": "#2f6da8", "fp32": "#46515f", "fp16": "#2f6da8", "bf16": "#a274b5", "few": "#e2a03f",
        "good": "#22744a", "warn": "#8f5a00", "bad": "#b3261e",
    }
)  # fmt: skip
DARK: Mapping[str, str] = MappingProxyType(
    {
        "paper": "#0d1117", "card": "#161c24", "wash": "#1b222b", "rule": "#36404d", "ink": "#e6ebf1",
        "muted": "#a2acb8", "flow": "#93a0af", "skip": "#6f7b89", "accent": "#6aa9e0",
        "conv": "#3f82c4", "attention": "#e8ae57", "resample": "#4b7168", "embed": "#b98fcb", "ends": "#c6d0da",
        "other": "#46505c",
        "ramp-0": "#18202a", "ramp-1": "#1d2f42", "ramp-2": "#223e5a", "ramp-3": "#284e73", "ramp-4": "#2e5f8d",
        "share": "#6aa9e0", "fp32": "#c6d0da", "fp16": "#3f82c4", "bf16": "#b98fcb", "few": "#e8ae57",
        "good": "#63c08f", "warn": "#e0a54f", "bad": "#f28b82",
    }
)  # fmt: skip


def variables() -> str:
    """Rules for a page: `--ns-ink`, `--ns-paper` …, light, and dark where the reader's system is dark."""
    return (
        ":root { color-scheme: light dark; --ns-font: " + FONT + "; " + _declared(LIGHT) + " }\n"
        "@media screen and (prefers-color-scheme: dark) { :root { " + _declared(DARK) + " } }\n"
    )


def sheet(name: str) -> str:
    """One of our style sheets, colours as `$ink`."""
    return _SHEETS.joinpath(f"{name}.css").read_text(encoding="utf-8")


def of_page(rules: str) -> str:
    """Rules whose colours are written `$ink`, for a page that has `variables`."""
    return _Named(rules).substitute({name: f"var(--ns-{name})" for name in LIGHT}, font="var(--ns-font)")


def of_file(rules: str) -> str:
    """The same for a file of its own, with the colours written out: few viewers of SVG beside browsers know variables.
    Rules with colours are repeated for the dark."""
    dark = "\n".join(line for line in rules.splitlines() if "$" in line and "$font" not in line)
    light, after = (_Named(text).substitute(colours, font=FONT) for text, colours in ((rules, LIGHT), (dark, DARK)))
    return f"{light}@media screen and (prefers-color-scheme: dark) {{\n{after}\n}}\n"


class _Named(Template):
    """`$ramp-0` is one name."""

    idpattern = r"[a-z]+[0-9]*(?:-[0-9])?"


def _declared(colours: Mapping[str, str]) -> str:
    return "; ".join(f"--ns-{name}: {value}" for name, value in colours.items())
