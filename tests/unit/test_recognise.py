"""Layouts are recognised from keys and shapes; what these cannot tell is said."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from netspec import api
from netspec.errors import WeightsError
from netspec.plan import Plan
from netspec.weights import layouts
from netspec.weights.checkpoint import open_checkpoint
from netspec.weights.layouts import Layout
from netspec.weights.recognise import recognise, signs_in

TINY = Path(__file__).parents[2] / "specs" / "tiny"
NAMES = sorted(path.stem for path in TINY.glob("*.yaml"))


def plan_of(name: str, **settings: object) -> Plan:
    return api.lower(api.load(TINY / f"{name}.yaml", set=settings))


def state_of(plan: Plan, layout: Layout) -> dict[str, Tensor]:
    """What a file in that layout holds, on the meta device."""
    return dict(layout.ours_to_foreign(plan, api.build(plan, device="meta").state_dict()))


def holding(plan: Plan) -> list[Layout]:
    """The layouts that can hold a network."""
    found = []
    for cls in layouts.named().values():
        try:
            cls().entries(plan)
        except WeightsError as error:
            assert error.diagnostics[0].code == "NS609"
            continue
        found.append(cls())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_of_every_network_is_recognised(name: str) -> None:
    """Two layouts may have the very same keys; then they have to read them alike, or the doubt is said."""
    plan = plan_of(name)
    for layout in holding(plan):
        checkpoint = open_checkpoint(state_of(plan, layout))
        reading = recognise(checkpoint, plan)
        assert reading.fit.fits, layout
        if reading.layout.name != layout.name:
            mine = {key for entry in layout.entries(plan) for key in entry.foreign}
            assert mine == {key for entry in reading.entries for key in entry.foreign}


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_speaks_for_itself(name: str) -> None:
    """Without a plan too: the tell-tale keys of each file name its family, wherever in a file they are."""
    plan = plan_of(name)
    for layout in holding(plan):
        if not layout.known_by():
            continue
        state = {f"a.b.{key}": value for key, value in state_of(plan, layout).items()}
        families = {(each.family, each.start) for each in signs_in(open_checkpoint(state))}
        assert families == {(plan.spec.family.name, "a.b.")}, layout


def test_signs_are_keys_of_their_layout() -> None:
    """A sign that nothing has would never be seen: each is in some network that the layout holds."""
    plain = {"dit.qk_norm": "none"}
    in_context = {"dit.modulation": "none", "dit.context": {"input": "conditioning", "attention": "in_context"}}
    plans = [*map(plan_of, NAMES), plan_of("dit", **plain), plan_of("dit", **plain, **in_context)]
    spoken: set[tuple[str, tuple[str, ...]]] = set()
    for plan in plans:
        for layout in holding(plan):
            keys = {key for entry in layout.entries(plan) for key in entry.foreign}
            spoken |= {(layout.name, sign.keys) for sign in layout.known_by() if keys.issuperset(sign.keys)}
    signs = {(name, sign.keys) for name, cls in layouts.named().items() for sign in cls.known_by()}
    assert signs - spoken == set()


def test_choices_that_shapes_tell_are_made() -> None:
    plan = plan_of("unet")
    for projections in ("conv", "linear"):
        state = state_of(plan, layouts.find(f"ldm:projections={projections}"))
        reading = recognise(open_checkpoint(state), plan, "ldm")
        assert getattr(reading.layout, "projections") == projections  # noqa: B009  a field of this layout alone
        assert recognise(open_checkpoint(state), plan).layout == reading.layout


def test_the_order_of_fused_rows_cannot_be_told() -> None:
    plan = plan_of("unet")
    state = state_of(plan, layouts.find("ldm"))
    assert recognise(open_checkpoint(state), plan).doubts == ("ldm:qkv=parts_first",)
    told = recognise(open_checkpoint(state), plan, "ldm:qkv=parts_first")
    assert told.layout == layouts.find("ldm:qkv=parts_first")
    assert told.doubts == ()
    one_head = plan_of("unet", **{"unet.attention.num_heads": 1})
    assert recognise(open_checkpoint(state_of(one_head, layouts.find("ldm"))), one_head).doubts == ()


def test_the_order_matters() -> None:
    """Otherwise there would be nothing to say: the two readings of one file give two networks."""
    model = api.build(api.load(TINY / "unet.yaml"))
    state = dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict()))
    outputs = []
    for said in ("ldm:qkv=heads_first", "ldm:qkv=parts_first"):
        api.load_weights(model, state, said)
        outputs.append({key: value.clone() for key, value in model.state_dict().items()})
    assert not all(torch.equal(value, outputs[1][key]) for key, value in outputs[0].items())


def test_own_files_are_recognised_without_trying_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = api.build(api.load(TINY / "unet.yaml"))
    api.save_weights(model, tmp_path / "m.safetensors")
    tried: list[str] = []

    def entries(self: Layout, plan: Plan) -> object:
        tried.append(self.name)
        return whole(self, plan)

    whole = Layout.entries
    monkeypatch.setattr(Layout, "entries", entries)
    api.load_weights(model, tmp_path / "m.safetensors")
    api.load_weights(model, model.state_dict())
    assert set(tried) == {"netspec"}


@pytest.mark.parametrize("state", [{"encoder.layers.0.weight": torch.zeros(3, 3)}, {"x": torch.zeros(2)}])
def test_keys_of_no_layout(state: Mapping[str, Tensor]) -> None:
    plan = plan_of("unet")
    with pytest.raises(WeightsError) as caught:
        recognise(open_checkpoint(state), plan)
    (found,) = caught.value.diagnostics
    assert found.code == "NS623"
    assert found.message == "the dictionary: no layout of this network has such keys"
    assert found.notes == (next(iter(state)),)
