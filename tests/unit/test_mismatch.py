"""What a file that does not fit is told: by kind of block, and which choice of the spec would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from netspec import api
from netspec.errors import Diagnostic, WeightsError
from netspec.render import render
from netspec.weights import layouts
from netspec.weights.mismatch import MAX_LINES

SPECS = Path("specs")


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports name the spec's file as it was given."""
    monkeypatch.chdir(Path(__file__).parents[2])


def state_of(spec: str, layout: str, variant: str | None = None, **settings: Any) -> dict[str, Tensor]:
    """A file of a network a little different from the spec, on the meta device."""
    model = api.build(api.load(SPECS / spec, variant=variant, set=settings), device="meta")
    return dict(layouts.find(layout).ours_to_foreign(model.plan, model.state_dict()))


def refused(spec: str, state: Mapping[str, Tensor], layout: str = "auto", **settings: Any) -> tuple[Diagnostic, ...]:
    model = api.build(api.load(SPECS / spec, set=settings), device="meta")
    with pytest.raises(WeightsError) as caught:
        api.load_weights(model, state, layout)
    return caught.value.diagnostics


SD, DIT, TINY = "unet/sd15.yaml", "dit/dit_xl_2.yaml", "tiny/unet.yaml"

REPORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mlp_ratio": (DIT, "dit", {"dit.mlp_ratio": 5.333333333333333}),
    "depth": (DIT, "diffusers", {"dit.depth": 26}),
    "deeper": (DIT, "dit", {"dit.depth": 30}),
    "hidden_size": (DIT, "dit", {"dit.hidden_size": 1024}),
    "classes": (DIT, "dit", {"conditioning.y.classes": 10}),
    "two_choices": (DIT, "dit", {"dit.depth": 27, "conditioning.y.classes": 10}),
    "patch": (DIT, "dit", {"dit.patch_size": 4}),
    "text_width": (SD, "ldm", {"inputs.text[2]": 1024}),
    "level_width": (SD, "diffusers", {"unet.levels[1].channels": 672}),
    "blocks_per_level": (SD, "ldm", {"unet.blocks_per_level": 1}),
    "transformer_depth": (SD, "ldm", {"unet.levels[2].transformer": 2}),
    "mid": (SD, "diffusers", {"unet.mid.transformer": 2}),
    "inputs": (SD, "ldm", {"inputs.x[1]": 9}),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report(name: str, golden: Callable[[str, str], None]) -> None:
    """The choice that differs is named, in a report that a person reads."""
    spec, layout, settings = REPORTS[name]
    found = refused(spec, state_of(spec, layout, **settings))
    text = render(found)
    assert len(text.splitlines()) <= 4 * (MAX_LINES + 4)
    assert all(f"`{path}" in text for path in settings), text
    assert "everything fits" in text
    golden(f"weights/{name}.txt", text)


def test_a_component_can_be_the_choice() -> None:
    state = state_of("tiny/mmdit.yaml", "sd3")
    found = refused("tiny/mmdit.yaml", state, **{"dit.qk_norm": "none"})
    assert [each.code for each in found] == ["NS604"]
    assert found[0].help == ("with `dit.qk_norm: rms` instead of none everything fits",)


def test_a_switch_can_be_the_choice() -> None:
    found = refused(TINY, state_of(TINY, "ldm"), **{"unet.attention.qkv_bias": False})
    assert [each.code for each in found] == ["NS604"]
    assert found[0].help == ("with `unet.attention.qkv_bias: true` instead of false everything fits",)


def test_another_network_is_no_wall_of_lines() -> None:
    found = refused(SD, state_of("unet/sdxl.yaml", "ldm"))
    assert {each.code for each in found} == {"NS603", "NS604", "NS605"}
    assert all(len(each.notes) <= MAX_LINES + 1 for each in found)
    assert all(len(line) < 600 for line in render(found).splitlines())


def test_the_wrong_layout_is_named() -> None:
    found = refused(SD, state_of(SD, "diffusers"), "ldm")
    assert found[0].help == ("these keys are those of layout `diffusers`",)


def test_nothing_is_explained_where_nothing_would_help() -> None:
    state = state_of(TINY, "ldm")
    del state["out.0.weight"]
    (found,) = refused(TINY, state)
    assert (found.code, found.help) == ("NS603", ())
    assert found.notes[0].startswith("head = out (unet.head, specs/tiny/unet.yaml:")
    assert found.notes[0].endswith("): 0.weight")
