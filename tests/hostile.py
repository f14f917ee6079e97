"""Files that mean harm, or are no files at all: made anew for each test, since some are large and some no text.

Each function writes what it is named after into the current folder and returns the name to give to `netspec check`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

UNET = "netspec: 1\nname: net\ninputs: {x: [batch, 3, 64, 64]}\noutput: [batch, 3, 64, 64]\ndims: {batch: 1}\n"


def directory() -> str:
    Path("directory.yaml").mkdir()
    return "directory.yaml"


def missing_file() -> str:
    Path("sd15.yaml").write_text(UNET)
    return "sd51.yaml"


def missing_folder() -> str:
    return "nowhere/sd15.yaml"


def binary() -> str:
    Path("binary.yaml").write_bytes(b"\x80\x02}q\x00\x00\x01" + bytes(range(256)))
    return "binary.yaml"


def utf16() -> str:
    Path("utf16.yaml").write_text(UNET, encoding="utf-16")
    return "utf16.yaml"


def latin1() -> str:
    Path("latin1.yaml").write_bytes(UNET.replace("net\n", "café\n", 1).encode("latin-1"))
    return "latin1.yaml"


def control_characters() -> str:
    Path("control.yaml").write_text("netspec: 1\nname: \x1b[31mred\x1b[0m\n")
    return "control.yaml"


def two_mebibytes() -> str:
    Path("large.yaml").write_text(UNET + "# padding\n" * 2**18)
    return "large.yaml"


def many_values() -> str:
    Path("many.yaml").write_text("a: [" + "1," * 400_000 + "1]\n")
    return "many.yaml"


def many_keys() -> str:
    Path("keys.yaml").write_text(UNET + "".join(f"k{index}: 1\n" for index in range(20_000)))
    return "keys.yaml"


def deep_nesting() -> str:
    Path("deep.yaml").write_text("a: " + "[" * 200_000 + "]" * 200_000 + "\n")
    return "deep.yaml"


def deep_mappings() -> str:
    Path("deep_mappings.yaml").write_text("".join(" " * index + "a:\n" for index in range(1_000)))
    return "deep_mappings.yaml"


def billion_laughs() -> str:
    lines = [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]\n" for n in range(40)]
    Path("laughs.yaml").write_text("a0: &a0 [ha]\n" + "".join(lines))
    return "laughs.yaml"


def alias_to_itself() -> str:
    Path("itself.yaml").write_text("a: &a [*a]\n")
    return "itself.yaml"


def many_directives() -> str:
    Path("directives.yaml").write_text("".join(f"%TAG !t{n}! tag:x\n" for n in range(40_000)) + "--- {}\n")
    return "directives.yaml"


def endless_number() -> str:
    Path("number.yaml").write_text(UNET + "unet: {levels: [" + "9" * 500_000 + "]}\n")
    return "number.yaml"


def huge_network() -> str:
    Path("huge.yaml").write_text(UNET + "unet: {levels: [64, 64], blocks_per_level: 1000000000}\n")
    return "huge.yaml"


def too_many_nodes() -> str:
    rows = ", ".join(["{channels: 64, blocks: 256}"] * 6)
    Path("nodes.yaml").write_text(f"{UNET}unet: {{levels: [{rows}], block: {{modulation: none}}}}\n")
    return "nodes.yaml"


def huge_widths() -> str:
    widths = ", ".join(["9000000000000000001"] * 2)
    Path("widths.yaml").write_text(f"{UNET}unet: {{levels: [{widths}], block: {{modulation: none}}}}\n")
    return "widths.yaml"


def many_levels() -> str:
    Path("levels.yaml").write_text(UNET + f"unet: {{levels: [{', '.join(['32'] * 5_000)}]}}\n")
    return "levels.yaml"


def many_variants() -> str:
    lines = "".join(f"  v{n}: {{unet.blocks_per_level: {n + 1}}}\n" for n in range(5_000))
    Path("variants.yaml").write_text(
        f"{UNET}unet: {{levels: [32, 64], block: {{modulation: none}}}}\nvariants:\n{lines}"
    )
    return "variants.yaml"


def long_line() -> str:
    Path("line.yaml").write_text(f"{UNET}{'x' * 900_000}: 1\n")
    return "line.yaml"


def extends_itself() -> str:
    Path("self.yaml").write_text("extends: self.yaml\n")
    return "self.yaml"


def extends_a_device() -> str:
    Path("device.yaml").write_text("extends: /dev/zero\n")
    return "device.yaml"


def extends_chain() -> str:
    for number in range(40):
        Path(f"chain{number}.yaml").write_text(f"extends: chain{number + 1}.yaml\n")
    return "chain0.yaml"


def pipe() -> str:
    os.mkfifo("pipe.yaml")
    return "pipe.yaml"


def link_to_itself() -> str:
    os.symlink("loop.yaml", "loop.yaml")
    return "loop.yaml"


MAKERS: tuple[Callable[[], str], ...] = (
    directory, missing_file, missing_folder, binary, utf16, latin1, control_characters, two_mebibytes, many_values,
    many_keys, deep_nesting, deep_mappings, billion_laughs, alias_to_itself, many_directives, endless_number,
    huge_network, too_many_nodes, huge_widths, many_levels, many_variants, long_line, extends_itself,
    extends_a_device, extends_chain, pipe, link_to_itself,
)  # fmt: skip
