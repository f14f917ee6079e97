"""What an editor gets from the schema: the right verdicts, from a validator that is not ours, and help for every key.

yaml-language-server and VS Code show `description`, `default` and `examples` of a key, and `enumDescriptions` beside
the values of an `enum`.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from netspec import cli, document, guide, layers, offers, registry, schema, shipped
from netspec.errors import NetspecError
from netspec.guide.wish import Wish
from netspec.registry import Component, declared

INVALID = Path(__file__).parent / "invalid"
VALIDATOR = jsonschema_rs.validator_for(schema.current())

# What the schema alone cannot know, or says differently than `netspec check`, and why.
OTHERWISE = {
    "24_extends_missing": "without the file that it extends, `check` reads no further",
    "84_extends_list": "`check` finds the same mistake while it looks for that file",
    "27_error_in_variant": "a variant holds paths, which the schema leaves open",
    "37_float_for_int": "JSON Schema takes 2.0 for a whole number",
    "41_no_family": "which family there is, is no question of one key",
    "42_two_families": "likewise",
    "43_two_outputs": "likewise, of `output` and `outputs`",
    "51_component": "`check` calls an unknown component a name (NS201), not a value",
}


def accepts(data: Any) -> bool:
    """The verdict of the other validator."""
    return bool(VALIDATOR.is_valid(data))


@pytest.mark.parametrize("name", shipped.names())
def test_every_shipped_spec_is_accepted(name: str) -> None:
    path = shipped.find(name)
    assert path is not None
    assert [error.message for error in VALIDATOR.iter_errors(document.load(path).data)] == []


def invalid() -> Iterator[Path]:
    """The fixtures that are YAML that netspec reads; those of NS0xx no schema ever sees."""
    for path in sorted(INVALID.glob("*.yaml")):
        if not re.search(r"\[NS0\d\d\]", path.with_suffix(".txt").read_text(encoding="utf-8")):
            yield path


def laid(path: Path) -> Any:
    """A fixture's data with what its arguments lay over it, where that is possible."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    words = shlex.split(first.removeprefix("# args:")) if first.startswith("# args:") else []
    given = dict(zip(words[::2], words[1::2], strict=False))
    settings = [value for word, value in pairwise(words) if word == "--set"]
    parsed = document.load(path)
    try:
        return layers.compose(parsed, variant=given.get("--variant"), settings=settings).data
    except NetspecError:
        return parsed.data


@pytest.mark.parametrize("path", [*invalid()], ids=lambda path: path.stem)
def test_the_schema_refuses_what_it_is_for(path: Path) -> None:
    told = path.with_suffix(".txt").read_text(encoding="utf-8")
    agrees = accepts(laid(path)) != bool(re.search(r"\[NS1\d\d\]", told))
    assert agrees == (path.stem not in OTHERWISE), OTHERWISE.get(path.stem, told)


def test_a_file_that_extends_another_may_say_a_part() -> None:
    assert accepts({"extends": "base.yaml", "dims": {"batch": {"max": 4}}})
    whole = document.loads(guide.write(Wish("faces", image=256)).text).data
    assert accepts(whole)
    assert not accepts({**whole, "dims": {**whole["dims"], "batch": {"max": 4}}})
    assert not accepts({**whole, "targets": {"edge": {"exporter": "onnx", "dims": {"batch": {"max": 4}}}}})


def test_what_new_writes_is_accepted() -> None:
    for family in guide.FAMILIES:
        assert accepts(document.loads(guide.write(Wish("faces", family, 256, text=family == "mmdit")).text).data)


def subclasses(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        yield from (each, *subclasses(each))


def places() -> Iterator[tuple[type[Component], dict[str, Any], tuple[str | int, ...]]]:
    """A place of a spec for every component that a spec can name: the data around it, and the path of its settings."""
    registry.load_all()
    around: Mapping[str, tuple[dict[str, Any], tuple[str | int, ...]]] = {
        "norm": ({"unet": {"block": {"type": "resnet", "norm": {}}}}, ("unet", "block", "norm")),
        "activation": ({"unet": {"block": {"type": "resnet", "act": {}}}}, ("unet", "block", "act")),
        "gate": ({"unet": {"block": {"type": "resnet", "gate": {}}}}, ("unet", "block", "gate")),
        "block": ({"unet": {"block": {}}}, ("unet", "block")),
        "attention": ({"unet": {"levels": [{"attention": {}}]}}, ("unet", "levels", 0, "attention")),
        "transformer": ({"unet": {"levels": [{"transformer": {}}]}}, ("unet", "levels", 0, "transformer")),
        "downsample": ({"unet": {"downsample": {}}}, ("unet", "downsample")),
        "upsample": ({"unet": {"upsample": {}}}, ("unet", "upsample")),
        "position": ({"dit": {"pos_embed": {}}}, ("dit", "pos_embed")),
        "modulation": ({"dit": {"modulation": {}}}, ("dit", "modulation")),
        "embed": ({"conditioning": {"t": {}}}, ("conditioning", "t")),
    }
    for kind, (data, path) in around.items():
        for name, cls in registry.named(kind).items():
            settings: Any = data
            for part in path:
                settings = settings[part]
            settings.clear()
            settings[cls.tag] = name
            yield cls, data, path
    for name, cls in registry.named("family").items():
        yield cls, {name: {}}, (name,)


def test_every_kind_has_a_place() -> None:
    assert {cls.kind for cls, _, _ in places()} == {*registry.kinds()} - {"wiring"}


def test_every_key_of_every_component_is_offered_with_help() -> None:
    """As an editor does: the component that the settings name decides which keys there are."""
    bare = []
    for cls, data, path in places():
        found = {offer.text: offer for offer in offers.keys(schema.current(), data, path)}
        wanted = {*declared(cls)} | ({cls.tag} if cls.kind != "family" and cls.tag else set())
        assert {*found} == wanted, (cls.kind, cls.name)
        for name in declared(cls):
            told = {key for node in found[name].nodes for key in node}
            if not found[name].about or "examples" not in told:
                bare.append(f"{cls.kind}.{cls.name}.{name}")
    assert not bare


def test_keys_differ_between_components() -> None:
    """The test above would pass on a list of all keys."""
    at = ("unet", "block", "norm")
    keys = {
        name: {offer.text for offer in offers.keys(schema.current(), {"unet": {"block": {"norm": name}}}, at)}
        for name in ("group", "rms", "none")
    }
    assert keys == {"group": {"type", "groups", "eps", "affine"}, "rms": {"type", "eps", "affine"}, "none": {"type"}}


def test_every_name_of_a_component_is_offered_with_its_meaning() -> None:
    for cls, data, path in places():
        if cls.kind == "family" or not cls.tag:
            continue
        named = {offer.text: offer.about for offer in offers.values(schema.current(), data, (*path, cls.tag))}
        assert named[cls.name] == (cls.__doc__ or "").partition("\n")[0]


def nodes(node: Any, at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping of the schema by its path."""
    if isinstance(node, dict):
        yield at, node
        for key, inner in node.items():
            if key not in ("default", "examples", "const"):
                yield from nodes(inner, f"{at}/{key}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from nodes(inner, f"{at}/{index}")


def test_every_value_is_explained() -> None:
    """Beside each value of an enumeration stands what it means; names that are taken are no values."""
    silent = [
        at
        for at, node in nodes(schema.current())
        if isinstance(node.get("enum"), list)
        and "/propertyNames/" not in at
        and (len(node.get("enumDescriptions", ())) != len(node["enum"]) or not all(node["enumDescriptions"]))
    ]
    assert not silent


def test_every_key_of_the_schema_is_described() -> None:
    """Conditions (`if`) and what they add to a key that is described elsewhere aside."""
    silent = []
    for at, node in nodes(schema.current()):
        if "/if" in at or not isinstance(node.get("properties"), dict):
            continue
        for name, inner in node["properties"].items():
            described = "description" in inner or (at.endswith("/then") and at.count("/") == 3)
            if not described:
                silent.append(f"{at}/{name}")
    assert not silent


def test_examples_are_valid() -> None:
    """An example that is no value would teach a mistake: the other validator reads each one where it stands."""
    wrong = []
    for at, node in nodes(schema.current()):
        for shown in node.get("examples", ()):
            bare = isinstance(shown, str) and node.get("title", "").endswith(f".{shown}")  # a component by its name
            one = jsonschema_rs.validator_for({"$defs": schema.current()["$defs"], "allOf": [node]})
            if not bare and not one.is_valid(shown):
                wrong.append((at, shown))
    assert not wrong


def test_the_first_line_of_a_spec_is_what_editors_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of yaml-language-server's modeline, and the file that it names."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.app, ["new", "faces", "--like", "tiny/unet"]).exit_code == 0
    first = Path("faces.yaml").read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match is not None
    assert jsonschema_rs.validator_for(document_of(Path(match[1]))).is_valid(document.load("faces.yaml").data)


def test_the_schema_can_be_written_to_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(cli.app, ["schema", "-o", "mine.json"]).exit_code == 0
    assert document_of(Path("mine.json")) == schema.current()


def document_of(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
