"""Text: the hidden states that a frozen encoder makes of it."""

from __future__ import annotations

from netspec.guide.sheet import Entry

TOKENS, WIDTH = 77, 768
LONG_TOKENS, LONG_WIDTH, POOLED = 154, 4096, 2048


def short() -> tuple[Entry, ...]:
    """One encoder's tokens."""
    return (("text", f"[batch, {TOKENS}, {WIDTH}]", "hidden states of CLIP ViT-L/14"),)


def long() -> tuple[Entry, ...]:
    """Tokens of several encoders one after the other, and their pooled vectors."""
    return (
        ("pooled", f"[batch, {POOLED}]", "pooled text of CLIP L and G, side by side"),
        ("text", f"[batch, tokens, {LONG_WIDTH}]", "hidden states of both CLIPs side by side, then those of T5"),
    )
