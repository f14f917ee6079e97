"""From one layout to another and back: the identity, tensor by tensor, in memory that does not grow with the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from netspec import api
from netspec.errors import WeightsError
from netspec.graph import Model
from netspec.weights import layouts
from netspec.weights.aligned import read_layout
from netspec.weights.checkpoint import open_checkpoint
from netspec.weights.convert import convert
from netspec.weights.load import spec_of
from netspec.weights.recognise import recognise
from netspec.weights.rewrite import Rewriting, groups
from netspec.weights.store import layout_of
from tests.twins import randomise
from tests.unit.test_recognise import NAMES, TINY, holding, plan_of

PLAIN = {"dit.qk_norm": "none"}  # what the DiT of other programs is


def model_of(name: str, dtype: torch.dtype = torch.float32, **settings: object) -> Model:
    model = api.build(api.load(TINY / f"{name}.yaml", set=settings), dtype=dtype)
    randomise(model)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_is_the_identity(tmp_path: Path, name: str) -> None:
    """From our own file to each layout that can hold the network, to each other one from there, and home again: the
    same bytes. The way back is not told: it is recognised."""
    model = model_of(name)
    own, one, two, home = (tmp_path / f"{word}.safetensors" for word in ("own", "one", "two", "home"))
    api.save_weights(model, own)
    others = [layout for layout in holding(model.plan) if layout.name != "netspec"]
    for first in others:
        convert(own, one, to=first)
        convert(one, home, plan=model.plan)
        assert home.read_bytes() == own.read_bytes(), first
        for second in others:
            convert(one, two, to=second, plan=model.plan)
            convert(two, home, to=first, plan=model.plan)
            assert home.read_bytes() == one.read_bytes(), (first, second)


def test_other_programs_find_nothing_but_their_keys(tmp_path: Path) -> None:
    model = model_of("unet")
    api.save_weights(model, tmp_path / "own.safetensors")
    done = convert(tmp_path / "own.safetensors", tmp_path / "d.safetensors", to="ldm")
    wanted = dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict()))
    found = load_file(tmp_path / "d.safetensors")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert (done.layout, done.tensors, done.network) == ("ldm", len(wanted), "tiny-unet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.safetensors", "own.safetensors"]
    api.save_weights(model, tmp_path / "saved.safetensors", "ldm")
    assert (tmp_path / "saved.safetensors").read_bytes() == (tmp_path / "d.safetensors").read_bytes()


@pytest.mark.parametrize("dtype", ["fp32", "fp16", "bf16", None])
def test_the_precision_is_the_files_or_the_one_asked_for(tmp_path: Path, dtype: str | None) -> None:
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, None: torch.bfloat16}
    model = model_of("dit", torch.bfloat16, **PLAIN)
    save_file(dict(layouts.find("dit").ours_to_foreign(model.plan, model.state_dict())), tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", plan=model.plan, dtype=dtype)  # type: ignore[arg-type]
    like = api.build(model.plan, device="meta", dtype=kinds[dtype])
    assert read_layout(tmp_path / "b.safetensors").header == layout_of(model.plan, like).header  # can be reflinked
    assert spec_of(tmp_path / "b.safetensors") == model.spec
    convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", to="dit", plan=model.plan, dtype=dtype)  # type: ignore[arg-type]
    assert {value.dtype for value in load_file(tmp_path / "c.safetensors").values()} == {kinds[dtype]}


def test_mixed_precision_stays_mixed(tmp_path: Path) -> None:
    model = model_of("unet")
    state = dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict()))
    state = {key: value if "norm" in key else value.half() for key, value in state.items()}
    save_file(state, tmp_path / "a.safetensors")
    for to in ("netspec", "ldm"):
        convert(tmp_path / "a.safetensors", tmp_path / f"{to}.safetensors", to=to, plan=model.plan)
    assert {key: value.dtype for key, value in load_file(tmp_path / "ldm.safetensors").items()} == {
        key: value.dtype for key, value in state.items()
    }
    assert {value.dtype for value in load_file(tmp_path / "netspec.safetensors").values()} >= {
        torch.float32,
        torch.float16,
    }


def test_choices_of_the_file_are_kept_unless_said_otherwise(tmp_path: Path) -> None:
    model = model_of("unet")
    path = tmp_path / "a.safetensors"
    save_file(dict(layouts.find("ldm:projections=linear").ours_to_foreign(model.plan, model.state_dict())), path)
    for to, spelled in (("ldm", "ldm:projections=linear"), ("ldm:projections=conv", "ldm")):
        assert convert(path, tmp_path / "b.safetensors", to=to, plan=model.plan).layout == spelled


def test_the_network_is_the_one_that_the_file_fits(tmp_path: Path) -> None:
    model = model_of("unet")
    source, path = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file(dict(layouts.find("ldm").ours_to_foreign(model.plan, model.state_dict())), source)
    assert convert(source, path, to="ldm").network == "tiny-unet"
    small = api.build(api.load(TINY / "unet.yaml", set={"unet.levels[1].multiplier": 3}))
    save_file(dict(layouts.find("ldm").ours_to_foreign(small.plan, small.state_dict())), source)
    with pytest.raises(WeightsError) as caught:
        convert(source, path, to="ldm")
    assert caught.value.diagnostics[0].code == "NS624"
    assert caught.value.diagnostics[0].help == ("name the network: --spec SPEC",)


def test_the_average_is_converted_where_asked(tmp_path: Path) -> None:
    raw, average = model_of("dit", **PLAIN), model_of("dit", **PLAIN)
    state = {
        f"{word}.{key}": value.clone()
        for word, model in (("model", raw), ("ema", average))
        for key, value in layouts.find("dit").ours_to_foreign(model.plan, model.state_dict())
    }
    save_file(state, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", to="dit", plan=raw.plan, ema=True)
    found = load_file(tmp_path / "b.safetensors")
    assert all(torch.equal(found[key], state[f"ema.{key}"]) for key in found)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    model = model_of("dit", **PLAIN)
    state = dict(layouts.find("diffusers").ours_to_foreign(model.plan, model.state_dict()))
    state = {key: value.clone() for key, value in state.items()}
    state["transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.weight"] += 1
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WeightsError) as caught:
        convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", plan=model.plan)
    assert caught.value.diagnostics[0].code == "NS620"
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_small_and_whole(name: str) -> None:
    """Each tensor is in one group, and a group has no more than one entry of one side needs."""
    plan = plan_of(name)
    for source in holding(plan):
        for target in holding(plan):
            made = list(groups(source.entries(plan), target.entries(plan)))
            keys = [key for group in made for entry in group.targets for key in entry.ours]
            assert len(keys) == len(set(keys)) == len(api.build(plan, device="meta").state_dict())
            for group in made:
                most = max(len(entry.ours) for entry in (*group.sources, *group.targets))
                assert len({key for entry in group.targets for key in entry.ours}) <= max(most, 3)


def test_tensors_are_read_when_their_turn_comes(tmp_path: Path) -> None:
    """Between two tensors that are written, no more than a group is read, and none is read twice."""
    model = model_of("dit", **PLAIN)
    save_file(dict(layouts.find("dit").ours_to_foreign(model.plan, model.state_dict())), tmp_path / "a.safetensors")
    reading = recognise(open_checkpoint(tmp_path / "a.safetensors"), model.plan)
    events: list[str] = []

    def fetch(name: str) -> torch.Tensor:
        events.append(f"read {name}")
        return reading.source.fetch(name)

    watched = type(reading.source)("watched", reading.source.infos, fetch)
    rewriting = Rewriting(model.plan, watched, reading.entries, layouts.find("netspec"))
    assert rewriting.header
    assert events == []
    for name, _ in rewriting.tensors(watched):
        events.append(f"write {name}")
    reads = [event for event in events if event.startswith("read")]
    assert len(reads) == len(set(reads)) == len(reading.source)
    held = 0
    for event in events:
        held = held + 1 if event.startswith("read") else 0
        assert held <= 1
