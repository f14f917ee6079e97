"""No code names a published network: what one of them needs is a choice with a meaning of its own, open to all.

Docstrings and comments cite papers and may say anything. Words of a lineage (ddpm, adm, ldm, edm, dit, kl) are
conventions or architectures, not networks that somebody released.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# Foreign formats are called what their owners call them.
EXEMPT = {
    "netspec/weights/layouts": "key names of checkpoints",
    "netspec/importers": "class names and options of other libraries' config files",
    "netspec/integrations": "class names and arguments of other libraries",
    "netspec/validation/synonyms.py": "the words of other tools, and what they mean there",
}

# As `spaced` writes a name: lower-case words and numbers apart.
PUBLISHED = re.compile(
    r"\b("
    r"sd ?(\d+|xl|xs)|sdxl|stable (diffusion|cascade|audio)|ssd 1 ?b|svd xt|"
    r"flux|pix ?art|cin ?256|imagen|dall ?e|glide|if [iv]+ (m|l|xl)|deep ?floyd|"
    r"kandinsky|wuerstchen|playground|koala|segmind|vega|bk sdm|snap ?(fusion|gen)|mobile diffusion|"
    r"hunyuan|lumina|sana|cog ?(view|video)|wan \d|ltx|animate ?diff|model ?scope|latte|open ?sora|mochi|"
    r"aura ?flow|qwen|chroma|allegro|taesd|taef|milesial|lucidrains"
    r")\b"
)


def spaced(name: str) -> str:
    """`SDXLBase`, `sdxl_base-1.0`: words apart, lower case, digits apart from letters."""
    apart = re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[A-Za-z])(?=\d)|(?<=\d)(?=[A-Za-z])", " ", name
    )
    return " ".join(re.split(r"[^A-Za-z0-9]+", apart)).lower().strip()


def offences(text: str) -> Iterator[tuple[int, str]]:
    """(line, name) for every identifier and string of a source that names a published network."""
    tree = ast.parse(text)
    alone = (node.value for node in ast.walk(tree) if isinstance(node, ast.Expr))
    prose = {id(value) for value in alone if isinstance(value, ast.Constant)}  # docstrings
    for node in ast.walk(tree):
        for name in () if id(node) in prose else _names(node):
            if PUBLISHED.search(spaced(name)):
                yield getattr(node, "lineno", 0), name


def _names(node: ast.AST) -> Iterator[str]:
    """What a node of the syntax tree spells."""
    match node:
        case ast.Constant(value=str(value)):
            yield value
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name
        case ast.alias(name=name, asname=other):
            yield name
            yield other or ""
        case ast.ImportFrom(module=str(module)):
            yield module


def exempt(path: Path) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return any(name == known or name.startswith(f"{known}/") for known in EXEMPT)


def checked() -> list[Path]:
    files = (path for package in ("netspec", "exporters") for path in sorted((ROOT / package).rglob("*")))
    return [path for path in files if path.is_file() and "__pycache__" not in path.parts and not exempt(path)]


def test_no_code_names_a_published_network() -> None:
    sources = [path for path in checked() if path.suffix == ".py"]
    assert len(sources) > 100
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sources
        for line, name in offences(path.read_text(encoding="utf-8"))
    ]
    assert not found, found


def test_no_file_is_called_like_one() -> None:
    found = [path.name for path in checked() if PUBLISHED.search(spaced(path.stem))]
    assert not found, found


def test_exemptions_exist() -> None:
    assert [name for name in EXEMPT if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "source",
    [
        "sd15 = 1",
        "def build_sdxl(): ...",
        "class SDXLBase: ...",
        "class StableDiffusion3: ...",
        "def f(flux_order): ...",
        "f(is_pixart=True)",
        "x.sd3",
        "kind = 'sd1.5'",
        "kind = f'cin256-{x}'",
        "from netspec.families import sd2_unet",
        "from netspec import levels as pixart",
        "order = {'SD 1.x': 1}",
    ],
)
def test_a_planted_offender_is_found(source: str) -> None:
    assert list(offences(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""Stable Diffusion 1.5, PixArt."""',
        'def f():\n    """As FLUX does."""\n    return 1  # sdxl',
        "convention = 'ddpm'; family = 'dit'; kind = 'adm'; loss = 'kl'; edm = ldm = mmdit = 1",
        "images = imagenet = influx = sdk = sd = sand = 1",
        "size = 'width of 320, 15 heads'",
    ],
)
def test_lineages_docstrings_and_ordinary_words_are_free(source: str) -> None:
    assert not list(offences(source))
