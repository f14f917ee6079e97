"""validate(): every violation at once, each at its place and in the user's words."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from texts import SD15

from netspec import layers, registry, schema
from netspec.document import load, loads
from netspec.errors import Diagnostic, SchemaError, SpecError
from netspec.render import render
from netspec.validation import synonyms, validate
from netspec.validation.findings import Validator
from netspec.validation.verdict import compiled

SPECS = Path(__file__).parents[2] / "specs"
DIT = """\
netspec: 1
name: dit-xl-2
inputs:
  x: [batch, 4, 32, 32]
  t: [batch]
  y: {shape: [batch], dtype: int64}
output: [batch, 8, 32, 32]
dims: {batch: 4}
conditioning:
  t: {embed: sinusoidal, dim: 256}
  y: {embed: label, classes: 1000, dropout: 0.1}
dit:
  patch_size: 2
  hidden_size: 1152
  depth: 28
  num_heads: 16
  mlp_ratio: 4
  modulation: adaln_zero
  pos_embed: sincos
variants:
  l-2: {dit.hidden_size: 1024, dit.depth: 24}
targets:
  edge: {exporter: onnx, precision: fp16, dims: {batch: 1}, opset: 20}
"""
UNET_2015 = """\
netspec: 1
name: unet-2015
inputs:
  image: [batch, 1, 572, 572]
output:  [batch, 2, 388, 388]
dims:
  batch: {min: 1, opt: 1, max: 16}
unet:
  levels: [64, 128, 256, 512, 1024]
  blocks_per_level: 2
  block: {type: conv, kernel: 3, padding: valid, norm: none, act: relu}
  stem: none
  mid: none
  downsample: maxpool
  upsample: {type: conv_transpose, kernel: 2}
  narrow: upsample
  skip: {per: level, merge: concat, crop: center}
  head: {kernel: 1, norm: none}
"""


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def found(text: str) -> Sequence[Diagnostic]:
    try:
        validate(loads(text, "a.yaml"))
    except SpecError as error:
        return error.diagnostics
    return []


def the_one(text: str) -> Diagnostic:
    [diagnostic] = found(text)
    return diagnostic


@pytest.mark.parametrize("text", [SD15, DIT, UNET_2015], ids=["sd15", "dit", "unet_2015"])
def test_the_language_s_examples_are_valid(text: str) -> None:
    validate(loads(text))


@pytest.mark.parametrize("path", sorted(SPECS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_spec_is_valid(path: Path) -> None:
    validate(layers.compose(load(path)))


def test_a_typo_reads_as_in_the_language_s_description() -> None:
    text = changed(SD15, ("blocks_per_level", "block_per_level"), ("num_heads", "num_head"))
    assert (
        render(found(text)).replace("a.yaml", "01_typo.yaml")
        == """\
error[NS101]: unknown key `block_per_level`
  --> 01_typo.yaml:25:3
   |
25 |   block_per_level: 2
   |   ^^^^^^^^^^^^^^^ did you mean `blocks_per_level`?

error[NS101]: unknown key `num_head`
  --> 01_typo.yaml:26:17
   |
26 |   transformer: {num_head: 8, context: text}
   |                 ^^^^^^^^ did you mean `num_heads`?

01_typo.yaml: 2 errors
"""
    )


def test_a_foreign_word_reads_as_in_the_language_s_description() -> None:
    text = changed(
        SD15,
        ("blocks_per_level", "layers_per_block"),
        ("num_heads: 8, context: text", "attention_head_dim: 8, context: text, cross_attention_dim: 768"),
    )
    assert (
        render(found(text)).replace("a.yaml", "02_synonym.yaml")
        == """\
error[NS101]: unknown key `layers_per_block`
  --> 02_synonym.yaml:25:3
   |
25 |   layers_per_block: 2
   |   ^^^^^^^^^^^^^^^^ not a key of `unet`
   = help: netspec writes this as blocks_per_level

error[NS101]: unknown key `attention_head_dim`
  --> 02_synonym.yaml:26:17
   |
26 |   transformer: {attention_head_dim: 8, context: text, cross_attention_dim: 768}
   |                 ^^^^^^^^^^^^^^^^^^ not a key of `unet.transformer`
   = help: netspec writes this as num_heads or head_dim (in diffusers' SD 1.x config this number is the head COUNT)

error[NS101]: unknown key `cross_attention_dim`
  --> 02_synonym.yaml:26:55
   |
26 |   transformer: {attention_head_dim: 8, context: text, cross_attention_dim: 768}
   |                                                       ^^^^^^^^^^^^^^^^^^^ not a key of `unet.transformer`
   = help: netspec writes this as the last size of the context input (inputs.<name>)

02_synonym.yaml: 3 errors
"""
    )


CASES = [
    # (old, new, code, words of the message, words of label and help, line:column)
    ("blocks_per_level: 2", "blocks_per_level: two", "NS102",
     "expected a whole number, found the word `two`", "blocks of each encoder level", "25:21"),
    ("blocks_per_level: 2", 'blocks_per_level: "2"', "NS102", "found the quoted number", "without the quotes", "25:21"),
    ("channels: 640", "channels: 1e3", "NS102", "found the number `1e3`", "write 1000", "21:18"),
    ("dim: 320", "dim: [320]", "NS102", "expected a whole number, found a list", "", "16:31"),
    ("mid: {transformer: 1}", "mid:", "NS102", "found nothing", "write `none` to switch it off", "24:3"),
    ("mid: {transformer: 1}", "mid: null", "NS102", "found `null`", "write `none`", "24:8"),
    ("mid: {transformer: 1}", "block: {zero_init: no}", "NS102",
     "expected `true` or `false`, found the word `no`", "write `false`", "24:22"),
    ("blocks_per_level: 2", "blocks_per_level: 0", "NS103", "`blocks_per_level` must be at least 1, it is 0", "",
     "25:21"),
    ("opt: 2,  max: 8", "opt: 2,  max: 1", "NS103", "`max` of `batch` is 1, less than `opt`", "at least 2", "11:35"),
    ("name: sd15-unet\n", "", "NS104", "missing key `name`", "the spec needs `name`", "1:1"),
    ("embed: sinusoidal, dim: 320", "embed: sinusoidal", "NS104", "missing key `dim`", "number of sines", "16:3"),
    ("{embed: sinusoidal, dim: 320}", "label", "NS104", "missing key `classes`", "embed: label", "16:6"),
    ("mid: {transformer: 1}", "skip: {merge: sum}", "NS105", "`merge` cannot be `sum`", "did you mean `add`?", "24:17"),
    ("netspec: 1", "netspec: 2", "NS105", "unknown format version 2", "version 1", "1:10"),
    ("expect:", "outputs: {y: [batch]}\nexpect:", "NS106", "exclude each other", "", "28:1"),
    ("expect:", "dit: {patch_size: 2, hidden_size: 8, depth: 1}\nexpect:", "NS106", "one network: `unet` or `dit`", "",
     "28:1"),
    ("expect:", "runtime: {}\nexpect:", "NS101", "unknown key `runtime`", "reserved", "28:1"),
    ("  t:    [batch]  ", "  t:    [batch]\n  in: [batch]  ", "NS107", "`in` cannot name an input", "reserved", "7:3"),
    ("  t:    [batch]  ", "  t:    [batch]\n  2x: [batch]  ", "NS107", "`2x` cannot name an input", "letters", "7:3"),
    ("name: sd15-unet", "name: ../x", "NS107", "`../x` cannot be `name`", "letters", "2:7"),
    ("mid: {transformer: 1}", "block: {norm: groupnorm}", "NS201", "unknown norm `groupnorm`",
     "did you mean `group`?", "24:17"),
    ("mid: {transformer: 1}", "block: {norm: {type: rsm}}", "NS201", "unknown norm `rsm`", "`rms`?", "24:24"),
    ("[batch, 77, 768]", "[bach, 77, 768]", "NS202", "unknown size `bach`", "did you mean `batch`?", "7:10"),
    ("context: text", "context: txt", "NS203", "unknown input `txt`", "did you mean `text`?", "26:40"),
    ("  t: {embed", "  clip: {embed", "NS203", "unknown input `clip`", "inputs of this spec: `x`", "16:3"),
    ("  width:  {", "  depth: 3\n  width:  {", "NS207", "no shape uses the size `depth`", "", "13:3"),
    ("unet:\n", "convention: lmd\nunet:\n", "NS208", "unknown convention `lmd`", "`ldm`", "18:13"),
    ("blocks_per_level: 2", "multiplier: 2", "NS101", "unknown key `multiplier`",
     "`multiplier` belongs to a row of `levels`", "25:3"),
    ("dim: 320", "dim: 320, classes: 3", "NS101", "unknown key `classes`", "belongs to `embed: label`", "16:36"),
    ("blocks_per_level: 2", "stem: {size: 3}", "NS101", "unknown key `size`", "keys here: `kernel`", "25:10"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "code", "message", "words", "place"), CASES)
def test_one_mistake_is_one_error_at_its_place(
    old: str, new: str, code: str, message: str, words: str, place: str
) -> None:
    each = the_one(changed(SD15, (old, new)))
    assert each.code == code
    assert message in each.message
    assert words in " ".join((each.label, *each.help))
    assert each.span is not None
    assert f"{each.span.line}:{each.span.column}" == place


def test_one_cause_on_several_rows_is_one_error() -> None:
    each = the_one(changed(SD15, ("transformer: 1}\n    -", "attn: 1}\n    -")))
    assert each.message == "unknown key `attn`"
    assert each.notes == ("same at unet.levels[1].attn, unet.levels[2].attn",)


def test_a_misspelt_key_is_not_missing_as_well() -> None:
    assert the_one(changed(DIT, ("depth: 28", "dept: 28"))).label == "did you mean `depth`?"
    assert the_one(changed(SD15, ("unet:\n", "unett:\n"))).label == "did you mean `unet`?"


def test_conditioning_is_an_input_of_a_dit_s_context() -> None:
    validate(loads(changed(DIT, ("modulation: adaln_zero", "context: {input: conditioning}"))))


def test_all_errors_come_at_once_in_file_order() -> None:
    text = changed(SD15, ("name: sd15-unet", "name: 3"), ("dim: 320", "dim: two"), ("context: text", "context: txt"))
    assert [each.code for each in found(text)] == ["NS102", "NS102", "NS203"]
    with pytest.raises(SchemaError):
        validate(loads(text))


@pytest.mark.parametrize(
    "text", ["netspec: 1\n", "a: b\n", "unet: 3\ninputs: 4\ndims: 5\n", "inputs: {x: {}}\ndit: []\n"]
)
def test_a_spec_of_nonsense_is_refused_in_words(text: str) -> None:
    assert found(text)


def test_verdicts_agree_with_jsonschema_s() -> None:
    """Specs with random values planted at random places: the sieve says what jsonschema says."""
    published, chance = schema.current(), random.Random(0)
    sieve, judge = compiled(published), Validator(published)
    plants: list[Any] = [None, True, 0, -1, 2, 2.5, 1e3, "none", "rms", "text", "batch", [], [1], {}, {"type": "rms"},
                         {"a": 1}, float("nan"), "", "a\n"]  # fmt: skip
    counts = {True: 0, False: 0}
    for _ in range(1500):
        data = copy.deepcopy(loads(chance.choice([SD15, DIT, UNET_2015])).data)
        holder = data
        while True:
            key = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            if not (isinstance(holder[key], dict | list) and holder[key] and chance.random() < 0.8):
                break
            holder = holder[key]
        if chance.random() < 0.15 and isinstance(holder, dict):
            del holder[key]
        elif chance.random() < 0.15 and isinstance(holder, dict):
            holder["type"] = chance.choice(["conv", "rms", "resnet", "no"])
        else:
            holder[key] = chance.choice(plants)
        verdict = sieve(data)
        counts[verdict] += 1
        assert verdict == judge.is_valid(data), data
    assert min(counts.values()) > 100  # the test would show nothing if one verdict never came


def test_a_hostile_spec_is_refused_quickly() -> None:
    rows = "".join(f"    - {{channels: 64, attn{i}: 1}}\n" for i in range(8000))
    words = ", ".join(f"w{i}" for i in range(8000))
    keys = "".join(f"  k{i}: 1\n" for i in range(8000))
    for text in (f"unet:\n  levels:\n{rows}", f"inputs: {{x: [{words}]}}\n", f"unet:\n{keys}", f"dims:\n{keys}"):
        doc = loads(text)
        begin = time.perf_counter()
        with pytest.raises(SpecError):
            validate(doc)
        assert time.perf_counter() - begin < 1


def test_every_foreign_word_is_foreign() -> None:
    """A synonym for a key that exists where it is said to be foreign could never be shown."""
    for name, cls in registry.named("family").items():
        for key in registry.declared(cls):
            assert synonyms.lookup(key, (name,)) is None or key in registry.declared(cls)
    for synonym in synonyms.TABLE:
        assert synonym.words
        assert len(set(synonym.words)) == len(synonym.words)


def test_a_valid_spec_never_pays_for_jsonschema() -> None:
    code = (
        "import sys; from netspec import document, validation; validation.validate(document.loads(sys.argv[1]));"
        "assert 'jsonschema' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, SD15], check=True)
