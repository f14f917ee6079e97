"""What the site has beside the files of this folder: a page for each shipped spec and each diagnostic, and pictures
that follow the reader's choice of light or dark.

mkdocs calls the `on_` functions. Links that leave docs/, which GitHub follows to the file, lead to its page here. A
picture that is a link to its spec, which GitHub shows as it is, can be unfolded here to every node.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from netspec import api, drawing, explanations, shipped
from netspec.drawing import style
from netspec.reference import findings, shelf

LINK = re.compile(r"(?<=\]\()(\.\./[^)#\s]+)")
NOTICE = re.compile(r"\A<!--.*?-->\s*", re.DOTALL)
PICTURE = re.compile(r'<a href="[^"]*?specs/(\w+/\w+)\.html"><img [^>]*?pictures/[^>]*></a>')
PLACE = '<a href="specs/{name}.html"><img src="pictures/"></a>'
SCHEMES = {"default": style.LIGHT, "slate": style.DARK}  # the theme's words


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that no file of this folder holds, and the colours of pictures."""
    made = {_of_spec(name): _spec(name) for name in shipped.names()}
    made |= {_of_code(code): explanations.page(code) for code in explanations.codes()}
    made["pictures.css"] = "".join(
        f'[data-md-color-scheme="{scheme}"] {{ --ns-font: inherit; {_declared(colours)} }}\n'
        for scheme, colours in SCHEMES.items()
    )
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files of the repository into links to their pages; leave out the notice on generated pages."""
    folder = PurePosixPath(page.file.src_uri).parent
    pages = _pages()

    def turned(found: re.Match[str]) -> str:
        target = os.path.normpath(Path("docs") / folder / found[1]).replace(os.sep, "/")
        return os.path.relpath(pages[target], folder).replace(os.sep, "/") if target in pages else found[1]

    return LINK.sub(turned, NOTICE.sub("", markdown))


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Put pictures in, after the words of the page went into the index of the search."""
    numbers = iter(range(len(output)))
    return PICTURE.sub(lambda found: _picture(found[1], f"p{next(numbers)}-"), output)


@cache
def _pages() -> dict[str, str]:
    """Files of the repository and their pages."""
    found = {f"specs/{name}.yaml": _of_spec(name) for name in shipped.names()}
    return found | {findings.source(code): _of_code(code) for code in explanations.codes()}


def _of_spec(name: str) -> str:
    return f"specs/{name}.md"


def _of_code(code: str) -> str:
    return f"diagnostics/{code}.md"


def _spec(name: str) -> str:
    return shelf.page(shipped.folder(), name, PLACE.format(name=name))


def _picture(name: str, prefix: str) -> str:
    return f'<div class="picture">{drawing.fragment(api.lower(api.load(name)), prefix=prefix)}</div>'


def _declared(colours: Mapping[str, str]) -> str:
    return " ".join(f"--ns-{name}: {value};" for name, value in colours.items())
