"""compose(): later layers win, components are replaced whole, and every value knows where it was written."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from netspec import layers
from netspec.document import Document, load, loads
from netspec.errors import DocumentError, NetspecError, UnknownName, UsageError

BASE = """\
netspec: 1
name: base
inputs: {x: [batch, 4, 32, 32], t: [batch]}
conditioning: {t: sinusoidal}
unet:
  levels: [64, 128]
  block: {type: resnet, dropout: 0.1, norm: {type: group, groups: 8}}
  attention: {num_heads: 4, norm: rms}
  transformer: 2
  mid: none
variants:
  wide: {unet.levels: [128, 256], expect.params: 7}
  deep: {unet.blocks_per_level: 4, unet.block: {dropout: 0.2}}
expect: {params: 5}
"""


def set_(*settings: str, text: str = BASE) -> Document:
    return layers.compose(loads(text, "base.yaml"), settings=settings)


def files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(texts))}.yaml"


def refused(error: type[NetspecError], code: str, *args: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        layers.compose(*args, **options)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.span is not None
    span = diagnostic.span
    return f"{Path(span.source.name).name}:{span.line}:{span.column} {diagnostic.message} | {diagnostic.label}"


# Settings


@pytest.mark.parametrize(
    ("setting", "path", "expected"),
    [
        ("unet.blocks_per_level=3", "blocks_per_level", 3),
        ("unet.levels[1]=32", "levels", [64, 32]),
        ("unet.levels[1].channels=32", "levels", [64, {"channels": 32}]),
        ("unet.levels[1].attention=full", "levels", [64, {"channels": 128, "attention": "full"}]),
        ("unet.levels=[8]", "levels", [8]),
        ("unet.block.dropout=0", "block", {"type": "resnet", "dropout": 0, "norm": {"type": "group", "groups": 8}}),
        ("unet.block.norm=layer", "block", {"type": "resnet", "dropout": 0.1, "norm": "layer"}),
        ("unet.block.norm.groups=4", "block",
         {"type": "resnet", "dropout": 0.1, "norm": {"type": "group", "groups": 4}}),
        ("unet.block.norm={eps: 1e-6}", "block",
         {"type": "resnet", "dropout": 0.1, "norm": {"type": "group", "groups": 8, "eps": 1e-6}}),
        ("unet.block.norm={type: rms}", "block", {"type": "resnet", "dropout": 0.1, "norm": {"type": "rms"}}),
        ("unet.block={type: conv}", "block", {"type": "conv"}),
        ("unet.attention.norm.eps=1e-3", "attention", {"num_heads": 4, "norm": {"type": "rms", "eps": 1e-3}}),
        ("unet.transformer.context=text", "transformer", {"depth": 2, "context": "text"}),
        ("unet.mid.blocks=1", "mid", {"blocks": 1}),
        ("unet.head.kernel=1", "head", {"kernel": 1}),
    ],
)  # fmt: skip
def test_a_setting(setting: str, path: str, expected: object) -> None:
    assert set_(setting).data["unet"][path] == expected


def test_a_name_opens_with_the_key_of_its_kind() -> None:
    assert set_("conditioning.t.dim=64").data["conditioning"] == {"t": {"embed": "sinusoidal", "dim": 64}}


def test_later_settings_win_and_the_document_stays_as_it_was() -> None:
    document = loads(BASE)
    composed = layers.compose(document, settings=["unet.levels[0]=8", "unet.levels[0]=16"])
    assert composed.data["unet"]["levels"] == [16, 128]
    assert document.data == loads(BASE).data


def test_a_setting_is_the_place_of_what_it_sets() -> None:
    composed = set_("unet.block.dropout=0.5", "unet.levels[1].channels=96")
    place = composed.places[("unet", "levels", 1, "channels")]
    assert (place.value.source.name, place.value.line, place.value.column) == ("--set", 2, 25)
    assert place.key is not None
    assert (place.key.line, place.key.column, place.key.end_column) == (2, 1, 24)
    assert composed.places[("unet", "block", "dropout")].value.source.name == "--set"
    assert composed.places[("unet", "block", "norm")].value.source.name == "base.yaml"


def test_what_is_replaced_has_no_places_left() -> None:
    assert not [path for path in set_("unet.block=conv").places if path[:2] == ("unet", "block") and len(path) > 2]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (
            "unet.levels[2].channels=3",
            "--set:1:1 `unet.levels[2]` does not exist | `unet.levels` has 2, counted from 0",
        ),
        ("unet.block[0]=3", "--set:1:1 `unet.block[0]` does not exist | `unet.block` is no list"),
        ("unet.levels.channels=3", "--set:1:1 `unet.levels.channels` does not exist | `channels` is inside a list"),
        ("unet..block=3", "--set:1:1 `unet..block` is not a path | "),
        ("unet[x]=3", "--set:1:1 `unet[x]` is not a path | "),
        ("=3", "--set:1:1 `` is not a path | "),
    ],
)
def test_paths_that_lead_nowhere(setting: str, expected: str) -> None:
    assert refused(UnknownName, "NS206", loads(BASE), settings=[setting]) == expected


def test_a_setting_needs_a_value_sign() -> None:
    assert refused(UsageError, "NS921", loads(BASE), settings=["unet.depth"]).startswith("--set:1:1 ")


@pytest.mark.parametrize(
    "value", [3, 1e-6, "text", "none", "on", True, [64, 128], {"type": "rms", "eps": 1e-6}, "a: b", "#", "1"]
)
def test_a_python_value_survives_as_a_setting(value: object) -> None:
    assert set_(layers.as_setting("unet.block.act", value)).data["unet"]["block"]["act"] == value


# Variants


def test_a_variant_is_laid_over_the_file() -> None:
    composed = layers.compose(loads(BASE), variant="deep", settings=["unet.block.dropout=0.3"])
    assert composed.data["unet"]["blocks_per_level"] == 4
    assert composed.data["unet"]["block"]["dropout"] == 0.3
    assert composed.data["unet"]["block"]["norm"] == {"type": "group", "groups": 8}


def test_values_of_a_variant_stand_where_the_variant_was_written() -> None:
    place = layers.compose(loads(BASE), variant="deep").places[("unet", "block", "dropout")]
    assert (place.value.line, place.origin) == (13, "--variant deep")


def test_an_expectation_holds_for_the_layer_that_states_it(tmp_path: Path) -> None:
    base = loads(BASE)
    assert layers.compose(base).data["expect"] == {"params": 5}
    assert "expect" not in layers.compose(base, variant="deep").data
    assert layers.compose(base, variant="wide").data["expect"] == {"params": 7}
    assert "expect" not in set_("unet.blocks_per_level=1").data
    child = files(tmp_path, child="extends: base.yaml\nname: child\n", base=BASE)
    assert "expect" not in layers.compose(load(child)).data
    assert "expect" not in layers.compose(load(child), variant="wide").data


def test_an_unknown_variant() -> None:
    assert refused(UnknownName, "NS205", loads(BASE), variant="wild") == (
        "--variant:1:1 unknown variant `wild` | did you mean `wide`?"
    )
    assert "unknown variant" in refused(UnknownName, "NS205", loads("netspec: 1\n"), variant="wide")


# Extended files


def test_a_file_is_laid_over_what_it_extends(tmp_path: Path) -> None:
    child = files(
        tmp_path,
        child="extends: middle.yaml\nname: child\nunet: {block: {dropout: 0}}\n",
        middle="extends: base.yaml\nname: middle\nunet: {block: {norm: {groups: 4}}, levels: [8]}\n",
        base=BASE,
    )
    composed = layers.compose(load(child), variant="deep")
    assert composed.data["name"] == "child-deep"
    assert "extends" not in composed.data
    assert composed.data["unet"]["levels"] == [8]
    assert composed.data["unet"]["block"] == {"type": "resnet", "dropout": 0.2, "norm": {"type": "group", "groups": 4}}
    wrote = {path[-1]: Path(place.value.source.name).stem for path, place in composed.places.items() if path}
    assert (wrote["groups"], wrote["num_heads"], wrote["name"]) == ("middle", "base", "child")


@pytest.mark.parametrize(
    ("over", "expected"),
    [
        ("{type: conv}", {"type": "conv"}),
        ("conv", "conv"),
        ("{type: resnet, dropout: 0}", {"type": "resnet", "dropout": 0, "norm": {"type": "group", "groups": 8}}),
        ("{kernel: 5}", {"type": "resnet", "dropout": 0.1, "norm": {"type": "group", "groups": 8}, "kernel": 5}),
    ],
)
def test_another_component_brings_its_own_settings(over: str, expected: object, tmp_path: Path) -> None:
    child = files(tmp_path, child=f"extends: base.yaml\nname: child\nunet: {{block: {over}}}\n", base=BASE)
    assert layers.compose(load(child)).data["unet"]["block"] == expected


def test_settings_over_a_bare_name_keep_the_name(tmp_path: Path) -> None:
    child = files(tmp_path, child="extends: base.yaml\nunet: {attention: {norm: {eps: 1.0e-3}}}\n", base=BASE)
    assert layers.compose(load(child)).data["unet"]["attention"]["norm"] == {"type": "rms", "eps": 1e-3}


def test_none_takes_out_what_the_author_named(tmp_path: Path) -> None:
    """An input and its embedding go without a trace; `none` over nothing stays, for the schema to refuse."""
    folder = files(tmp_path, child="extends: base.yaml\ninputs: {t: none}\nconditioning: {t: none}\n", base=BASE)
    child = layers.compose(load(folder))
    assert child.data["inputs"] == {"x": ["batch", 4, 32, 32]}
    assert child.data["conditioning"] == {}
    assert not [path for path in child.places if path[:2] in (("inputs", "t"), ("conditioning", "t"))]
    assert set_("inputs.t=none").data["inputs"] == {"x": ["batch", 4, 32, 32]}
    assert set_("inputs.y=none").data["inputs"]["y"] == "none"
    assert set_("unet.attention=none").data["unet"]["attention"] == "none"


def test_a_circle(tmp_path: Path) -> None:
    first = files(tmp_path, a="extends: b.yaml\n", b="name: b\nextends: a.yaml\n")
    assert refused(UnknownName, "NS210", load(first)) == (
        "b.yaml:2:10 `extends` goes in a circle | a.yaml -> b.yaml -> a.yaml"
    )


def test_a_file_that_extends_itself(tmp_path: Path) -> None:
    assert "a.yaml -> a.yaml" in refused(UnknownName, "NS210", load(files(tmp_path, a="extends: a.yaml\n")))


def test_too_many_files(tmp_path: Path) -> None:
    names = [f"f{index}" for index in range(20)]
    chain = {name: f"extends: {after}.yaml\n" for name, after in pairwise(names)}
    assert "goes too deep" in refused(UnknownName, "NS210", load(files(tmp_path, **chain, f19=BASE)))


def test_a_missing_file(tmp_path: Path) -> None:
    child = files(tmp_path, child="name: child\nextends: bsae.yaml\n", base=BASE)
    assert refused(UnknownName, "NS211", load(child)) == (
        "child.yaml:2:10 cannot extend `bsae.yaml`: no such file | looked for beside this file"
    )


def test_a_broken_base_is_reported_in_the_base(tmp_path: Path) -> None:
    child = files(tmp_path, child="extends: base.yaml\n", base="a: 1\na: 2\n")
    assert refused(DocumentError, "NS002", load(child)).startswith("base.yaml:2:1 ")


def test_extends_is_one_path() -> None:
    assert refused(UnknownName, "NS211", loads("extends: [a.yaml]\n")).startswith("<string>:1:10 ")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("dit.depth", ("dit", "depth")),
        ("unet.levels[2].channels", ("unet", "levels", 2, "channels")),
        ("a[0][1]", ("a", 0, 1)),
        ("name", ("name",)),
        ("", None),
        (".a", None),
        ("a.", None),
        ("a[b]", None),
        ("a]", None),
        ("a=b", None),
    ],
)
def test_paths(text: str, parts: object) -> None:
    assert layers.parse_path(text) == parts
