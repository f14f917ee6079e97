"""spread(): rows start from the family's shared settings, which keep the place where they were written."""

from __future__ import annotations

from typing import Any

import pytest

from netspec import inherit, registry
from netspec.document import loads
from netspec.families.unet import UNet

registry.load_all()


def spread(unet: str) -> tuple[dict[str, Any], Any]:
    document = loads(f"unet: {unet}\n", "net.yaml")
    return inherit.spread(UNet, document.data["unet"], ("unet",), document.places)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("transformer: 2", {"type": "spatial", "num_heads": 8, "context": "text", "depth": 2}),
        ("transformer: spatial", {"type": "spatial", "num_heads": 8, "context": "text"}),
        ("transformer: {depth: 3}", {"type": "spatial", "num_heads": 8, "context": "text", "depth": 3}),
        ("transformer: {num_heads: 4}", {"type": "spatial", "num_heads": 4, "context": "text"}),
        ("transformer: {context: none}", {"type": "spatial", "num_heads": 8, "context": "none"}),
        ("transformer: none", "none"),
        ("channels: 64", None),
    ],
)
def test_a_row_starts_from_the_shared_settings(row: str, expected: object) -> None:
    complete, _ = spread(f"{{levels: [{{{row}}}], transformer: {{num_heads: 8, context: text}}}}")
    assert complete["levels"][0].get("transformer") == expected


def test_the_mid_is_a_row_too() -> None:
    complete, _ = spread("{levels: [8], mid: {attention: full}, attention: {num_heads: 2, norm: rms}}")
    assert complete["mid"] == {"attention": {"type": "full", "num_heads": 2, "norm": "rms"}}


def test_nothing_shared_nothing_filled_in() -> None:
    complete, places = spread("{levels: [{channels: 8, transformer: 2}], mid: {attention: full}}")
    assert complete["levels"] == [{"channels": 8, "transformer": 2}]
    assert ("unet", "levels", 0, "transformer", "depth") not in places


def test_inherited_values_keep_their_place() -> None:
    _, places = spread(
        "{levels: [{transformer: 2}, {transformer: {num_heads: 4}}], transformer: {num_heads: 8, norm: {groups: 4}}}"
    )
    shared = places[("unet", "transformer", "num_heads")]
    assert places[("unet", "levels", 0, "transformer", "num_heads")] is shared
    assert places[("unet", "levels", 1, "transformer", "num_heads")] is not shared
    assert (
        places[("unet", "levels", 1, "transformer", "norm", "groups")]
        is places[("unet", "transformer", "norm", "groups")]
    )


def test_a_resampling_block_starts_from_the_families_block() -> None:
    complete, places = spread("{levels: [8, 16], block: {dropout: 0.1, modulation: scale_shift}, downsample: resnet}")
    assert complete["downsample"]["block"] == {"dropout": 0.1, "modulation": "scale_shift"}
    assert places[("unet", "downsample", "block", "dropout")] is places[("unet", "block", "dropout")]
    complete, _ = spread("{levels: [8], block: conv, downsample: resnet}")  # a conv's settings mean nothing to a resnet
    assert "block" not in complete["downsample"] if isinstance(complete["downsample"], dict) else True


def test_the_document_is_left_alone() -> None:
    document = loads("unet: {levels: [{transformer: 2}], transformer: {num_heads: 8}}\n")
    before = (repr(document.data), len(document.places))
    inherit.spread(UNet, document.data["unet"], ("unet",), document.places)
    assert (repr(document.data), len(document.places)) == before
