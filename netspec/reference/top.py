"""The page of what every spec has: name, tensors, sizes, targets, assertions; and the conventions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from netspec import conventions, registry, schema
from netspec.reference.catalogue import Key, Page, Section
from netspec.reference.usage import Usage
from netspec.reference.words import code, flow, listed

Node = Mapping[str, Any]

_FOLDER = Path(conventions.__file__).parent
_INTRODUCTION = """A spec is one YAML file: data only, no tags, aliases, merge keys or expressions. Numbers and words follow YAML 1.2:
`1e-4` is a number, `no` and `on` are words. The word `none` switches a part off.

Later layers win: defaults, the convention, `extends`, the file, a variant, `--set`. Mappings merge, lists and scalars
replace, `none` takes a named entry out. A path names one value: `dit.depth`, `unet.levels[2].channels`; variants and
`--set` are written so, and messages say it. An unknown key is an error, at every level.

What an input is for is said where it is used. `conditioning` embeds inputs into one vector; `context`, `mask` and `ids`
name the inputs that are these. What is left, with a height and a width (or tokens, for a network of tokens), is the
image."""  # fmt: skip  # noqa: E501


def page(root: Node, usage: Usage) -> Page:
    """The page of the schema's top level."""
    families = sorted(registry.named("family"))
    keys = {name: node for name, node in root["properties"].items() if name not in families}
    whole = next(rule["then"] for rule in root["allOf"])  # of a file that extends none
    sections = [_section(root, "", "Keys", keys, whole["required"], usage)]
    sections.append(_families(families, usage))
    for name, node in keys.items():
        for inner, title in mappings(root, node, name):
            required = inner.get("required", [])
            for rule in whole["properties"].get(name, {}).get("additionalProperties", {}).get("allOf", []):
                required = [*required, *rule["then"]["required"]]
            sections.append(_section(root, name, title, inner["properties"], required, usage))
    sections.append(Section("", "Conventions", _conventions()))
    return Page("top-level.md", "The file", _INTRODUCTION, tuple(sections))


def _section(root: Node, owner: str, title: str, keys: Node, needed: Any, usage: Usage) -> Section:
    made = [
        Key(
            name=name,
            meaning=_followed(root, node).get("description", ""),
            takes=_takes(_followed(root, node)),
            default=_default(node, name in needed),
            example=f"{name}: {flow(_followed(root, node)['examples'][0])}",
            specs=tuple(usage.keys.get((owner, name), ())),
        )
        for name, node in keys.items()
    ]
    definition = f"#{owner}"
    return Section(definition, title, "", keys=tuple(made))


def _families(names: list[str], usage: Usage) -> Section:
    pages = listed(f"[`{name}`]({name}.md)" for name in names)
    return Section("", "The network", f"Exactly one family key says what the network is: {pages}.")


def _followed(root: Node, node: Node) -> Node:
    """A node with what its reference says laid under it."""
    if "$ref" not in node:
        return node
    return {**root["$defs"][node["$ref"].rpartition("/")[2]], **node}


def mappings(root: Node, node: Node, title: str) -> Iterator[tuple[Node, str]]:
    """The mappings with keys of their own inside a top-level key, with the path of each."""
    node = _followed(root, node)
    if title.startswith("conditioning"):  # each value is an embedding, which has its own page
        return
    if "properties" in node:
        yield node, title
    for rule in node.get("allOf", ()):
        if "properties" in rule.get("then", {}):
            yield rule["then"], title
    inner = node.get("additionalProperties")
    if isinstance(inner, Mapping) and title not in ("variants", "outputs"):
        yield from mappings(root, inner, f"{title}.NAME")


def _takes(node: Node) -> str:
    if "const" in node:
        return code(flow(node["const"]))
    if "enum" in node:
        return listed(code(word) for word in node["enum"])
    if "additionalProperties" in node and isinstance(node["additionalProperties"], Mapping):
        return "a mapping by name"
    if "x-expected" in node:
        return str(node["x-expected"])
    if node["type"] == "array" and node.get("items", {}).get("type") == "string":
        return "a list of names"
    return _TYPES[node["type"]] + (f", at least {node['minimum']}" if "minimum" in node else "")


_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list of sizes",
    "object": "a mapping",
}


def _default(node: Node, needed: bool) -> str:
    if needed:
        return "must be given"
    if "default" in node:
        return code(flow(node["default"])) if node["default"] != "" else "nothing"
    return str(node["x-default"])


def _conventions() -> str:
    """What each convention sets, and whose it is."""
    lines = ["A convention sets what a lineage of networks does without saying so. What the spec itself says wins.", ""]
    for name in conventions.names():
        owners = [code(f) for f, cls in sorted(registry.named("family").items()) if _lineage(cls) == name]
        whose = f" (the convention of {listed(owners, 'and')})" if owners else ""
        lines.append(f"- `{name}`{whose}: {_source(name)}")
        for component, settings in conventions.settings(name).items():
            lines.append(f"  - `{component}`: {code(flow(settings))}")
    return "\n".join(lines)


def _lineage(cls: type) -> str:
    return getattr(cls, "convention", "")


def _source(name: str) -> str:
    """The comment that a convention's file begins with."""
    lines = (_FOLDER / f"{name}.yaml").read_text("utf-8").splitlines()
    head = []
    for line in lines:
        if not line.startswith("#"):
            break
        head.append(line.lstrip("# "))
    return " ".join(head)


def definitions(root: Node) -> Iterator[tuple[str, str]]:
    """(section, key) for every key of the top level and of the mappings inside it, families aside."""
    families = registry.named("family")
    for name, node in root["properties"].items():
        if name in families:
            continue
        yield "#", name
        for inner, _ in mappings(root, node, name):
            yield from ((f"#{name}", key) for key in inner["properties"])


def current() -> Node:
    """The schema that the pages describe."""
    return schema.emit()
