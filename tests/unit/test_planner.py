"""lower(): what is wrong with a network's sizes, at the place that says it, in the exact words of the design."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from texts import SD15

from netspec.errors import ExpectationError, NetspecError, ShapeError, UnknownName
from netspec.plan import Plan
from netspec.render import render

SPECS = Path(__file__).parents[2] / "specs"
Lower = Callable[..., Plan]

UNET = """\
netspec: 1
name: unet-2015                        # Ronneberger, Fischer, Brox, MICCAI 2015

inputs:
  image: [batch, 1, 572, 572]
output:  [batch, 2, 388, 388]

dims:
  batch: {min: 1, opt: 1, max: 16}

unet:
  levels: [64, 128, 256, 512, 1024]    # no mid block: the last level is the bottleneck
  blocks_per_level: 2
  block: {type: conv, kernel: 3, padding: valid, norm: none, act: relu}
  stem: none
  mid: none
  downsample: maxpool
  upsample: {type: conv_transpose, kernel: 2}
  narrow: upsample                     # the 2x2 up-conv halves the channels
  skip: {per: level, merge: concat, crop: center}
  head: {kernel: 1, norm: none}
"""

DIT = """\
netspec: 1
name: dit

inputs:
  x: [batch, 4, height, width]
  t: [batch]
output: [batch, 4, height, width]

dims:
  batch:  {min: 1,  opt: 2,   max: 4}
  height: {min: 64, opt: 128, max: 192}
  width:  {min: 64, opt: 128, max: 192}

conditioning:
  t: {embed: sinusoidal, dim: 64}

dit:
  patch_size: 2
  hidden_size: 48
  depth: 2
  num_heads: 4
  pos_embed: {type: sincos, grid: 192, crop: center}
"""


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    return text


HEADS = """\
error[NS302]: 320 channels do not split into 12 heads
  --> net.yaml:26:28
   |
20 |     - {channels: 320,  transformer: 1}
   |                  --- this level
  ...
26 |   transformer: {num_heads: 12, context: text}
   |                            ^^ 320 / 12 = 26.6667
   = note: same for 640, 1280
   = help: values that fit every level: 4, 5, 8, 10, 16, 20, 32, 40, 64, 80
"""

SIZE = """\
error[NS301]: height = 60 cannot be halved 3 times
  --> net.yaml:12:26
   |
12 |   height: {min: 32, opt: 60, max: 128}
   |                          ^^ must be a multiple of 8 (2^3: 4 levels)
   = help: nearest valid: 56 or 64
"""

SIZES = """\
error[NS301]: height = 30 cannot be halved 3 times
  --> net.yaml:12:17
   |
12 |   height: {min: 30, opt: 64, max: 124}
   |                 ^^ must be a multiple of 8 (2^3: 4 levels)
   = help: nearest valid: 24 or 32

error[NS301]: height = 124 cannot be halved 3 times
  --> net.yaml:12:35
   |
12 |   height: {min: 30, opt: 64, max: 124}
   |                                   ^^^ must be a multiple of 8 (2^3: 4 levels)
   = help: nearest valid: 120 or 128
"""

VALID = """\
error[NS304]: output is 388x388, the spec says 572x572
 --> net.yaml:6:21
  |
6 | output:  [batch, 2, 572, 572]
  |                     ^^^ valid convolutions give 388
  = note: 572 -> 568 -> 284 -> 280 -> 140 -> 136 -> 68 -> 64 -> 32 -> 28 -> 52 -> 100 -> 196 -> 388
"""

CHAIN = """\
error[NS301]: height = 570 does not fit the valid convolutions
 --> net.yaml:5:21
  |
5 |   image: [batch, 1, 570, 570]
  |                     ^^^ 279 cannot be halved
  = note: 570 -> 568 -> 566 -> 283 -> 281 -> 279 -> 139.5
"""

GRID = """\
error[NS305]: width up to 512 needs 256 positions
  --> net.yaml:12:36
   |
12 |   width:  {min: 64, opt: 128, max: 512}
   |                                    ^^^ position grid is 192
  ...
22 |   pos_embed: {type: sincos, grid: 192, crop: center}
   |                                   --- grid
"""

FIXED_GRID = """\
error[NS305]: an image of 32 patches per side needs 32 positions
  --> net.yaml:22:35
   |
22 |   pos_embed: {type: sincos, grid: 16, crop: center}
   |                                   ^^ position grid is 16
"""

GROUPS = """\
error[NS303]: 650 channels do not split into 32 groups
  --> net.yaml:21:18
   |
21 |     - {channels: 650}
   |                  ^^^ 650 / 32 = 20.3125
   = note: same for 1930, 1300, 970
   = help: values of unet.block.norm.groups that fit every level: 1, 2, 5, 10
"""

UNSAID_HEADS = """\
error[NS309]: attention needs num_heads or head_dim
  --> net.yaml:20:24
   |
20 |     - {channels: 320,  transformer: 1}
   |                        ^^^^^^^^^^^ how many heads?
   = note: same for unet.levels[1].transformer, unet.levels[2].transformer, unet.mid.transformer
   = help: add `num_heads: 8`, or `head_dim: 64` for a number that grows with the channels
"""

UNCONDITIONED = """\
error[NS306]: modulation is `add`, but the spec has no conditioning
  --> net.yaml:15:1
   |
15 | unet:
   | ^^^^ nothing to condition on
   = help: add `conditioning:` with a timestep or a label, or write `modulation: none`
"""

UNCONDITIONED_DIT = """\
error[NS306]: context is `conditioning`, but the spec has no conditioning
  --> net.yaml:19:20
   |
19 |   context: {input: conditioning}
   |                    ^^^^^^^^^^^^ nothing to condition on
   = help: add `conditioning:` with a timestep or a label, or write `context: none`
"""

CROP = """\
error[NS310]: the skip is 64x64, the decoder is 56x56
  --> net.yaml:20:3
   |
20 |   skip: {per: level, merge: concat}
   |   ^^^^ sizes must be equal to join
   = note: same for 136x136 and 104x104, 280x280 and 200x200, 568x568 and 392x392
   = help: valid convolutions lose margins: write `crop: center`, or use `padding: same`
   = help: odd sizes that are rounded down lose a row: write `pad: center`
"""

TOKENS = """\
error[NS312]: context `text` is not a token sequence
  --> net.yaml:26:40
   |
26 |   transformer: {num_heads: 8, context: text}
   |                                        ^^^^ `text` is [batch, 768]
   = help: write the input as [batch, tokens, width], such as `text: [batch, 77, 768]`
"""

IMAGES = """\
error[NS204]: 2 inputs are images, `dit` takes one
 --> net.yaml:6:3
  |
5 |   x: [batch, 4, height, width]
  |   - an image
6 |   z: [batch, 4, height, width]
  |   ^ another image
  = help: join them along their channels: `dit: {image: [x, z]}`
"""

NO_IMAGE = """\
error[NS204]: no input is the image
 --> net.yaml:4:1
  |
4 | inputs:
  | ^^^^^^ one must be [batch, channels, height, width]
  = help: add `x: [batch, 3, height, width]`

error[NS204]: input `x` is not used
 --> net.yaml:5:3
  |
5 |   x: [batch, 4, height]
  |   ^ nothing reads it
  = help: embed it (`conditioning: {x: …}`), or name it as the `context` of a transformer
"""

RANK = """\
error[NS313]: `mlp` embeds [batch, width], `t` is [batch]
 --> net.yaml:6:6
  |
6 |   t: [batch]
  |      ^^^^^^^
  = help: write `t: [batch, width]`
"""

WIDTH = """\
error[NS311]: level 1 has no width
  --> net.yaml:21:7
   |
21 |     - {transformer: 1}
   |       ^^^^^^^^^^^^^^^^ how many channels?
   = help: write `channels: 64`, or `multiplier: 2` of `unet.base_channels`
"""

NAME = """\
error[NS315]: `head` is already the name of a part of the network
 --> net.yaml:5:3
  |
5 |   head: [batch, 4, height, width]
  |   ^^^^
  = help: call it `head_input`
"""

PARAMS = """\
error[NS401]: the network has 1,033,325,764 parameters, the spec expects 859,520,964
  --> net.yaml:28:18
   |
28 | expect: {params: 859520964}
   |                  ^^^^^^^^^ off by +173,804,800
   = help: `netspec diff SPEC` tells what changed since the last commit; undo it, or update the number
"""

NO_TIME = ("  t:    [batch]                        # timestep\n", "")
NO_CONDITIONING = (
    "conditioning:\n  t: {embed: sinusoidal, dim: 320}     # -> MLP -> 1280, added in every ResNet block\n",
    "",
)
WIDTHS = "width:  {min: 64, opt: 128, max: 192}"
FIXED = (("[batch, 4, height, width]", "[batch, 4, 64, 64]"),) * 2
BARE_DIT = (("  t: [batch]\n", ""), ("conditioning:\n  t: {embed: sinusoidal, dim: 64}\n\n", ""))

CASES: dict[str, tuple[type[NetspecError], str, str]] = {
    "heads": (ShapeError, changed(SD15, ("num_heads: 8", "num_heads: 12")), HEADS),
    "size": (ShapeError, changed(SD15, ("opt: 64", "opt: 60")), SIZE),
    "sizes": (ShapeError, changed(SD15, ("min: 32", "min: 30"), ("max: 128", "max: 124")), SIZES),
    "valid": (ShapeError, changed(UNET, ("388, 388", "572, 572")), VALID),
    "chain": (ShapeError, changed(UNET, ("572, 572", "570, 570")), CHAIN),
    "grid": (ShapeError, changed(DIT, (WIDTHS, WIDTHS.replace("192", "512"))), GRID),
    "fixed grid": (ShapeError, changed(DIT, *FIXED, ("grid: 192", "grid: 16")), FIXED_GRID),
    "groups": (ShapeError, changed(SD15, ("channels: 640,  transformer: 1", "channels: 650")), GROUPS),
    "unsaid heads": (ShapeError, changed(SD15, ("num_heads: 8, ", "")), UNSAID_HEADS),
    "unconditioned": (ShapeError, changed(SD15, NO_TIME, NO_CONDITIONING), UNCONDITIONED),
    "unconditioned dit": (
        ShapeError,
        changed(DIT, *BARE_DIT, ("  pos_embed", "  modulation: none\n  context: {input: conditioning}\n  pos_embed")),
        UNCONDITIONED_DIT,
    ),
    "crop": (ShapeError, changed(UNET, (", crop: center", "")), CROP),
    "tokens": (ShapeError, changed(SD15, ("[batch, 77, 768]", "[batch, 768]")), TOKENS),
    "images": (UnknownName, changed(DIT, ("  t: [batch]", "  z: [batch, 4, height, width]\n  t: [batch]")), IMAGES),
    "no image": (UnknownName, changed(DIT, ("x: [batch, 4, height, width]", "x: [batch, 4, height]")), NO_IMAGE),
    "rank": (ShapeError, changed(DIT, ("{embed: sinusoidal, dim: 64}", "{embed: mlp}")), RANK),
    "width": (ShapeError, changed(SD15, ("channels: 640,  ", "")), WIDTH),
    "name": (ShapeError, changed(DIT, ("  x: ", "  head: ")), NAME),
    "params": (ExpectationError, changed(SD15, ("- {channels: 1280}", "- {channels: 1280, transformer: 1}")), PARAMS),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_refuses(case: str, lower: Lower) -> None:
    error, text, expected = CASES[case]
    with pytest.raises(error) as caught:
        lower(text)
    *blocks, total = render(caught.value.diagnostics).split("\n\n")
    assert "\n\n".join(blocks) + "\n" == expected
    assert total.startswith("net.yaml: ")


@pytest.mark.parametrize("text", [SD15, UNET, DIT], ids=["sd15", "unet", "dit"])
def test_takes_what_the_cases_change(text: str, lower: Lower) -> None:
    assert lower(text).cost.params


def test_several_errors_come_at_once_in_file_order(lower: Lower) -> None:
    text = changed(SD15, ("opt: 64", "opt: 60"), ("num_heads: 8", "num_heads: 12"), ("channels: 640", "channels: 648"))
    with pytest.raises(ShapeError) as caught:
        lower(text)
    places = [(d.span.line, d.span.column) for d in caught.value.diagnostics if d.span]
    assert places == sorted(places)
    assert {"NS301", "NS302", "NS303"} == {d.code for d in caught.value.diagnostics}


def test_a_setting_is_blamed_at_the_argument(lower: Lower) -> None:
    with pytest.raises(ShapeError) as caught:
        lower(SD15, settings=["unet.transformer.num_heads=12"])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    assert (diagnostic.span.source.name, diagnostic.span.column) == ("--set", 28)
    assert diagnostic.labels[0].span.source.name == "net.yaml"


def test_a_heads_own_row_is_blamed_for_its_own_number(lower: Lower) -> None:
    text = changed(SD15, ("channels: 640,  transformer: 1", "channels: 640,  transformer: {num_heads: 7}"))
    with pytest.raises(ShapeError) as caught:
        lower(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.path == "unet.levels[1].transformer.num_heads"
    assert diagnostic.notes == ()


@pytest.mark.parametrize("size", ["height", "width"])
def test_a_size_that_is_one_number_is_checked_as_well(size: str, lower: Lower) -> None:
    (row,) = (line for line in SD15.splitlines() if line.startswith(f"  {size}:"))
    with pytest.raises(ShapeError) as caught:
        lower(changed(SD15, (row, f"  {size}: 60")))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message == f"{size} = 60 cannot be halved 3 times"


def test_conditioning_is_embedded_once_whoever_reads_it(lower: Lower) -> None:
    text = changed(DIT, ("  num_heads: 4\n", "  num_heads: 4\n  context: {input: conditioning}\n"))
    names = [node.name for node in lower(text)]
    assert len(names) == len(set(names))
    assert names.count("embed_t") == 1


@pytest.mark.parametrize("patch", [1, 2, 3, 4, 8])
def test_patches_divide_or_say_so(patch: int, lower: Lower) -> None:
    text = changed(DIT, *FIXED, ("patch_size: 2", f"patch_size: {patch}"))
    if 64 % patch == 0:
        assert lower(text).by_name["patch_embed"].out.sizes[0].opt == 64 // patch
        return
    with pytest.raises(ShapeError) as caught:
        lower(text)
    (diagnostic,) = caught.value.diagnostics  # one for both sides, which are equal
    assert diagnostic.message == "height = 64 does not cut into patches of 3"
    assert diagnostic.help == ("nearest valid: 63 or 66",)


@pytest.mark.parametrize(
    ("blocks", "per", "expected"), [(1, "block", 1), (1, "level", 1), (3, "block", 2), (3, "level", 1)]
)
def test_attention_of_the_middle_is_never_dropped(
    lower: Callable[..., Plan], blocks: int, per: str, expected: int
) -> None:
    text = "netspec: 1\nname: net\ninputs: {x: [1, 3, 8, 8]}\noutput: [1, 3, 8, 8]\nunet:\n  levels: [32]\n"
    text += "  block: {modulation: none}\n"
    text += f"  mid: {{blocks: {blocks}, attention: {{type: full, num_heads: 4, per: {per}}}}}\n"
    assert sum(node.component.name == "full" for node in lower(text)) == expected
