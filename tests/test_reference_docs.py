"""The language reference is fresh, complete and true: every key, valid examples, links that lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from netspec import api, document, registry, schema
from netspec.reference import catalogue, pages, top
from netspec.reference.catalogue import Key, Section
from netspec.reference.usage import usage
from netspec.reference.words import anchor

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"

SPECS = ROOT / "specs"

SCHEMA = schema.emit()


@cache
def texts() -> dict[str, str]:
    return pages.texts(SPECS)


@cache
def sections() -> list[Section]:
    """Every section that describes keys."""
    used = usage(SPECS)
    made = [top.page(SCHEMA, used), *catalogue.pages(used)]
    return [section for page in made for section in page.sections if section.keys]


def test_pages_are_fresh(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regen"):
        pages.write(FOLDER, SPECS)
    committed = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")}
    stale = sorted(name for name in {*texts(), *committed} if texts().get(name) != committed.get(name))
    assert not stale, "run `python -m netspec.reference`, and read what it wrote"


def definitions() -> Iterator[tuple[str, str]]:
    """(definition, key) for everything that a spec may write; the key that names a component is its heading."""
    yield from top.definitions(SCHEMA)
    tags = {base.tag for base in registry.kinds().values()}
    for name, node in SCHEMA["$defs"].items():
        for key in node.get("properties", {}):
            if not (key in tags and "const" in node["properties"][key]):
                yield name, key


def test_every_key_of_the_schema_has_its_row() -> None:
    told = {(section.definition, key.name) for section in sections() for key in section.keys}
    missing = set(definitions()) - told
    assert not missing
    assert len(told) > 100


def test_no_cell_is_empty() -> None:
    for section in sections():
        for key in section.keys:
            assert all((key.meaning, key.takes, key.default, key.example)), f"{section.title}.{key.name}"


def test_every_component_has_its_section() -> None:
    titles = {section.definition for section in sections()}
    for cls in registry.everything():
        if cls.tag or cls.kind == "family":
            assert schema.def_name(cls) in titles or not registry.declared(cls), cls.name
            page = f"{catalogue.package(registry.kinds()[cls.kind])}.md" if cls.tag else f"{cls.name}.md"
            text = texts()[page]
            assert re.search(rf"^#+ (\w+: )?{cls.name}$", text, re.MULTILINE), cls.name
            unlinked = re.sub(r"\[(arXiv:[\d.]+)\]\(\S+?\)", r"\1", text)
            assert " ".join((cls.__doc__ or "").split()) in " ".join(unlinked.split()), cls.name


def validate(value: object, rules: Mapping[str, object]) -> None:
    """Raises ValidationError. The schema itself is known to be one, and checking it each time would take minutes."""
    jsonschema.Draft202012Validator({**rules, "$defs": SCHEMA["$defs"]}).validate(value)


def test_examples_of_keys_are_valid() -> None:
    """Against the definition of the record that the key belongs to; what is required beside it may be missing."""
    for section in sections():
        for key in section.keys:
            value = document.loads(key.example).data
            assert value.keys() == {key.name}
            validate(value, rules(section, key))


def rules(section: Section, key: Key) -> dict[str, object]:
    """The schema of a record, or that of one key of the top level or of a mapping inside it."""
    if not section.definition.startswith("#"):
        return {"$ref": f"#/$defs/{section.definition}"}
    owner = section.definition[1:]
    if not owner:
        return {"properties": {key.name: SCHEMA["properties"][key.name]}}
    found = [inner for inner, _ in top.mappings(SCHEMA, SCHEMA["properties"][owner], owner)]
    return {"properties": {key.name: found[0]["properties"][key.name]}}


def test_a_wrong_example_would_be_noticed() -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate({"eps": -1}, {"$ref": "#/$defs/norm.group"})


BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_blocks_are_valid() -> None:
    blocks = [block for text in texts().values() for block in BLOCK.findall(text)]
    assert len(blocks) > 30
    for block in blocks:
        data = document.loads(block).data
        if "netspec" in data:
            assert api.lower(api.loads(block)).cost.params > 0
            continue
        ((key, value),) = data.items()
        if key in ("conditioning", *registry.named("family")):
            node = SCHEMA["properties"][key]
        else:
            kinds = [base.kind for base in registry.kinds().values() if base.tag and named(value, base.kind)]
            node = {"anyOf": [{"$ref": f"#/$defs/{kind}.{named(value, kind)}"} for kind in kinds]}
            value = value if isinstance(value, dict) else {}
        validate(value, node)


def named(value: object, kind: str) -> str:
    """The component of a kind that a value names, "" for none."""
    base = registry.kinds()[kind]
    name = value.get(base.tag, base.usual) if isinstance(value, dict) else value
    return str(name) if name in registry.named(kind) else ""


LINK = re.compile(r"\]\(([^)\s]+)\)")


def test_links_lead_somewhere() -> None:
    for name, target in ((name, target) for name, text in texts().items() for target in LINK.findall(text)):
        if target.startswith("https://arxiv.org/abs/"):
            continue
        file, _, fragment = target.partition("#")
        if file.startswith("../"):
            assert (FOLDER / file).resolve().is_file(), target
            continue
        headings = re.findall(r"^#+ (.+)$", texts()[file or name], re.MULTILINE)
        anchors = [anchor(heading) for heading in headings]
        assert not fragment or anchors.count(fragment) == 1, target


def test_many_specs_are_counted_and_those_for_tests_come_last() -> None:
    text = texts()["unet.md"]
    (users,) = re.findall(r"^Used by (.*)\.$", text, re.MULTILINE)
    assert users.startswith("[unet/adm](../../specs/unet/adm.yaml), ")
    assert re.search(r" and \d+ more$", users)
    assert "- `stem`: [unet/same_padding_unet]" in text
    assert "[unet/unet_2015](../../specs/unet/unet_2015.yaml) and [tiny/padded_unet]" in text
    assert "No shipped spec writes `eps` or `momentum`." in texts()["norms.md"]


def test_examples_come_from_where_a_key_is_used() -> None:
    assert "`image: [x, {input: low, resize: bilinear}]`" in texts()["dit.md"]  # no shipped spec has it there
    assert "settings of [resnet](blocks.md#resnet)" in texts()["resample.md"]  # described once


def test_usage_sees_extended_files_variants_and_inherited_settings(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text((ROOT / "specs" / "tiny" / "unet.yaml").read_text(encoding="utf-8"))
    (tmp_path / "own.yaml").write_text(
        "extends: base.yaml\nname: own\n"
        "variants: {thin: {unet.base_channels: 8, unet.head.norm: {type: group, groups: 4, eps: 1e-6}}}\n"
        "unet: {mid: {transformer: {depth: 2, zero_init: false}}}\n"
    )
    api.lower(api.load(tmp_path / "own.yaml", variant="thin"))
    found = usage(tmp_path)
    assert found.specs == ["base", "own"]
    assert found.keys["", "extends"] == ["own"]
    assert found.keys["transformer.spatial", "num_heads"] == []
    assert found.keys["transformer.spatial", "head_dim"] == ["base", "own"]  # written in the extended file
    assert found.keys["transformer.spatial", "depth"] == ["base", "own"]  # `transformer: 1` is short for it
    assert found.keys["transformer.spatial", "zero_init"] == ["own"]  # of the shared transformer, unnamed here
    assert found.keys["norm.group", "eps"] == ["own"]  # in a variant only
    assert found.components["norm.group"] == ["base", "own"]
    assert found.components["norm.layer"] == found.components["position.sincos"] == []
