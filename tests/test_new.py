"""`netspec new`: every spec that it writes is sound, fits its budget and says why; questions; copies; the schema."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netspec import api, cli, compiler, guide, lints, render, schema, shipped
from netspec.cli import new, questions
from netspec.errors import UsageError
from netspec.guide import published, sources
from netspec.guide.rules import targets
from netspec.guide.wish import Wish, budget, in_words

IMAGES = (32, 64, 128, 256, 512)
BUDGETS = (10_000_000, 50_000_000, 100_000_000, 500_000_000)
GUIDES = ({}, {"classes": 10}, {"text": True})
REMARK = re.compile(r"  # ([A-Z]\S*): ")

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("faces", "--image", "64")`: exit code and what is printed, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, answers: str = "") -> tuple[int, str]:
        found = CliRunner().invoke(cli.app, ["new", *arguments], input=answers)
        if isinstance(found.exception, UsageError):
            return found.exception.exit_code, render.render(found.exception.diagnostics)
        return found.exit_code, found.output

    return call


def wishes() -> list[Wish]:
    """Every size, family and budget; what guides them and where they run takes turns."""
    found = []
    for turn, (image, family, most) in enumerate(product(IMAGES, guide.FAMILIES, BUDGETS)):
        given = {} if family == "autoencoder" else {"text": True} if family == "mmdit" else GUIDES[turn % 3]
        where = ["", *targets.TARGETS][turn % (len(targets.TARGETS) + 1)]
        found.append(Wish("faces", family, image, most, where, **given))
    return found


@pytest.mark.parametrize("wish", wishes(), ids=lambda wish: f"{wish.family}-{wish.image}-{in_words(wish.budget)}")
def test_every_spec_is_sound_and_fits(wish: Wish) -> None:
    written = guide.write(wish)
    assert guide.write(wish) == written
    spec = api.loads(written.text)
    plan = api.lower(spec)  # every target's sizes are checked by `api.check` below, on a file
    assert not lints.check(plan), written.text
    assert plan.cost.params == written.params == spec.expect.params
    assert written.params <= wish.budget
    assert written.above == 0 or written.above > wish.budget
    assert f"{written.params:,} parameters" in written.text
    assert max(map(len, written.text.splitlines())) <= 120
    assert list(spec.targets) == ([wish.target] if wish.target and wish.family != "autoencoder" else list(spec.targets))


@pytest.mark.parametrize("wish", wishes()[::9], ids=lambda wish: f"{wish.family}-{wish.image}-{wish.target}")
def test_every_number_has_its_reason(wish: Wish) -> None:
    """Each line of the family's part that has a number has a remark, and each tag of a remark stands in the head."""
    text = guide.write(wish).text
    head, _, body = text.partition("netspec: 1\n")
    tags = set(REMARK.findall(body)) | set(re.findall(r"^ +# (\S+): ", body, re.MULTILINE))
    listed = {line.split()[1] for line in head.splitlines() if line.startswith("#   ")}
    assert tags == listed
    known = {each.tag: each.reference for each in vars(sources).values() if isinstance(each, sources.Source)}
    for tag in tags:
        assert known[tag] in head
        assert "arXiv:" in known[tag]
    family = body.partition(f"\n{spec_key(wish)}:\n")[2].partition("\n\n")[0]
    lines = family.splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if re.search(r": \d", line) and not line.lstrip().startswith("#"):
            assert "  # " in line or above.lstrip().startswith("#"), line


def spec_key(wish: Wish) -> str:
    """The key that a family's part has in a spec."""
    return {"mmdit": "dit"}.get(wish.family, wish.family)


def test_the_published_tables_are_those_of_the_shipped_specs() -> None:
    """What remarks say of the papers, held against specs whose counts are the published ones."""
    networks = {
        32: ("unet/improved_diffusion", None), 64: ("unet/adm", "cond-64"), 128: ("unet/adm", "cond-128"),
        256: ("unet/adm", None), 512: ("unet/adm", "cond-512"),
    }  # fmt: skip
    for row in published.PIXELS:
        name, variant = networks[row.side]
        same(row, api.load(name, variant=variant).family)
    same(published.LATENTS[1], api.load("unet/ldm").family)
    (text,) = published.LATENTS_WITH_TEXT
    same(text, api.load("unet/ldm_txt2img").family)
    for size in published.SIZES:
        name = size.name.lower()
        spec = api.load("dit/dit_xl_2", variant=None if name == "xl" else f"{name}-2")
        assert (spec.family.hidden_size, spec.family.depth) == (size.hidden_size, size.depth)  # type: ignore[attr-defined]
        assert spec.expect.params == size.params


def same(row: published.Levels, unet: object) -> None:
    """A row of the table is what the family of a spec has."""
    levels = [level.multiplier or level.channels / row.base_channels for level in unet.levels]  # type: ignore[attr-defined]
    assert tuple(levels) == row.multipliers
    assert unet.blocks_per_level == row.blocks  # type: ignore[attr-defined]
    assert unet.block.dropout == row.dropout  # type: ignore[attr-defined]
    assert unet.levels[-1].multiplier is None or unet.base_channels == row.base_channels  # type: ignore[attr-defined]


def test_the_published_network_comes_back() -> None:
    """At its own budget the guide gives the network that the paper has, its learned variance aside."""
    spec = api.loads(guide.write(Wish("x", image=64, budget=296_000_000, classes=1000)).text)
    adm = api.load("unet/adm", variant="cond-64")
    assert spec.family == adm.family
    dit = api.loads(guide.write(Wish("x", "dit", 256, 131_000_000, classes=1000)).text).family
    published_dit = api.load("dit/dit_xl_2", variant="b-2").family
    assert (dit.hidden_size, dit.depth) == (published_dit.hidden_size, published_dit.depth)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("wish", "message", "help"),
    [
        (Wish("x", budget=1_000_000), "parameters at least, the budget is 1,000,000", "--budget "),
        (Wish("x", image=50), "a side of 50 cannot be halved 2 times, to 16 or less", "--image 48 or 52"),
        (Wish("x", image=100), "a side of 100 cannot be halved 3 times, to 16 or less", "--image 96 or 104"),
        (Wish("x", image=2048), "a U-Net of the guides ends at 32x32 here", "--image 1024"),
        (Wish("x", image=2048, latent=False), "a U-Net of the guides ends at 32x32 here", "--latent, or --image 1024"),
        (Wish("x", "dit", image=131), "no patch cuts 131x131", "--image 64"),
        (Wish("x", "mmdit"), "a stream of its own for text", "add `--text`"),
        (Wish("x", "autoencoder", text=True), "images and latents alone", "leave out"),
        (Wish("x", "autoencoder", image=258), "have no latents of a size that is 8 times less", "--image 256 or 264"),
        (Wish("x", image=64, latent=True), "no latents worth a network", "from 128 on"),
        (Wish("x", image=300), "no latents worth a network", "multiples of 8"),
    ],
)
def test_what_cannot_be_is_said(wish: Wish, message: str, help: str) -> None:
    with pytest.raises(UsageError) as caught:
        guide.write(wish)
    (found,) = caught.value.diagnostics
    assert found.code == "NS926"
    assert message in found.message
    assert help in found.help[0]


@pytest.mark.parametrize("family", ["dit", "mmdit", "autoencoder"])
def test_what_is_large_because_somebody_asked_is_allowed(family: str) -> None:
    written = guide.write(Wish("x", family, image=2048, budget=60_000_000, text=family == "mmdit"))
    assert "NS804: images of this size were asked for" in written.text
    assert lints.check(api.lower(api.loads(written.text))) == []


def test_the_smallest_image_has_a_network() -> None:
    """Nothing of it attends but the middle."""
    assert "attention" not in guide.write(Wish("x", image=8)).text.partition("levels:")[2].partition("mid:")[0]


def test_the_nearest_budget_that_is_named_can_be_met() -> None:
    with pytest.raises(UsageError) as caught:
        guide.write(Wish("x", budget=1_000_000))
    nearest = caught.value.diagnostics[0].help[0].removeprefix("--budget ")
    assert guide.write(Wish("x", budget=budget(nearest))).params <= budget(nearest)


@pytest.mark.parametrize(
    ("text", "number"),
    [("100M", 100_000_000), ("1.5B", 1_500_000_000), ("650k", 650_000), ("65_000_000", 65_000_000), ("2 g", 2 * 10**9)],
)
def test_budgets_are_read(text: str, number: int) -> None:
    assert budget(text) == number
    assert budget(in_words(number)) == number


@pytest.mark.parametrize("text", ["", "many", "0", "1.2.3M", "-5M", "5T"])
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no number of parameters"):
        budget(text)


def test_a_file_is_written_and_passes_check(run: Run) -> None:
    code, out = run("faces", "--image", "64", "--budget", "60M", "--target", "edge", "--classes", "10")
    assert code == 0, out
    assert out.startswith("wrote faces.yaml, and netspec.schema.json for editors\n")
    assert re.search(r"of 60,000,000; the next larger one has \d+(\.\d+)?M\n", out)
    assert api.check("faces.yaml") == []
    first = Path("faces.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=netspec.schema.json"
    assert Path("netspec.schema.json").read_text(encoding="utf-8") == schema.text()


@pytest.mark.parametrize("name", [*targets.TARGETS])
@pytest.mark.parametrize("family", [*guide.FAMILIES])
def test_every_target_of_every_family_is_checked(name: str, family: str, tmp_path: Path) -> None:
    path = tmp_path / "faces.yaml"
    wish = Wish("faces", family, 256, target=name, text=family == "mmdit")
    path.write_text(guide.write(wish).text, encoding="utf-8")
    assert api.check(path) == []


def test_edge_networks_build(tmp_path: Path) -> None:
    """The transforms that the guide names find something to change; parity blocks."""
    for family, image, most in (("unet", 16, 2_000_000), ("dit", 16, 1_500_000)):
        path = tmp_path / f"{family}.yaml"
        path.write_text(guide.write(Wish(family, family, image, most, "edge")).text, encoding="utf-8")
        result = compiler.compile(api.load(path), tmp_path / family, compiler.Options())
        assert result.manifest.parity
        assert all(row.passed for row in result.manifest.parity)


def test_specs_of_a_project_share_a_schema(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "specs" / "small").mkdir(parents=True)
    (tmp_path / new.SCHEMA).write_text("an older one", encoding="utf-8")
    code, out = run("faces", "-o", "specs/small/faces.yaml")
    assert code == 0, out
    first = Path("specs/small/faces.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../../netspec.schema.json"
    assert Path(new.SCHEMA).read_text(encoding="utf-8") == schema.text()
    assert not list(Path("specs").rglob(new.SCHEMA))


def test_a_schema_outside_the_project_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / new.SCHEMA).write_text("somebody else's", encoding="utf-8")
    (tmp_path / "project").mkdir()
    assert run("faces", "-o", "project/faces.yaml")[0] == 0
    assert (tmp_path / new.SCHEMA).read_text(encoding="utf-8") == "somebody else's"
    assert (tmp_path / "project" / new.SCHEMA).is_file()


def test_it_asks_on_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "possible", lambda: True)
    code, out = run("faces", answers="unet\n32\n\nclass\n5\n20M\nedge\n")
    assert code == 0, out
    asked = api.load("faces.yaml")
    assert [size.opt for size in api.lower(asked).inputs["x"].sizes] == [32, 32]
    assert asked.conditioning["y"].classes == 5  # type: ignore[attr-defined]
    assert asked.expect.params <= 20_000_000
    assert list(asked.targets) == ["edge"]


def test_a_wrong_answer_is_asked_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "possible", lambda: True)
    code, out = run("faces", answers="gan\nunet\nbig\n4\n64\n\n\nlots\n50M\n\n")
    assert code == 0, out
    assert "gan is none of unet, dit, mmdit, autoencoder" in out
    assert "big is no whole number from 8 to 2048" in out
    assert "4 is no whole number from 8 to 2048" in out
    assert "`lots` is no number of parameters" in out
    assert list(api.load("faces.yaml").targets) == ["onnx"]


@pytest.mark.parametrize("arguments", [("--image", "64"), ("--yes",), ("--like", "tiny/dit")])
def test_it_does_not_ask_where_something_is_said(
    arguments: tuple[str, ...], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "possible", lambda: True)
    monkeypatch.setattr(questions, "ask", lambda wish: pytest.fail("asked"))
    assert run("faces", *arguments)[0] == 0


@pytest.mark.parametrize("name", shipped.names())
def test_a_copy_is_the_same_network(name: str, run: Run) -> None:
    code, out = run("mine", "--like", name)
    assert code == 0, out
    copy, model = api.load("mine.yaml"), api.load(name)
    assert copy.name == "mine"
    assert copy.family == model.family
    assert api.lower(copy).cost == api.lower(model).cost
    text = Path("mine.yaml").read_text(encoding="utf-8")
    original = shipped.find(name)
    assert original is not None
    kept = [line for line in original.read_text(encoding="utf-8").splitlines() if not line.startswith("name: ")]
    assert [line for line in text.splitlines()[1:] if not line.startswith("name: ")] == kept


def test_a_copy_by_the_last_part_of_its_name(run: Run) -> None:
    assert run("mine", "--like", "adm")[0] == 0
    assert run("mine", "--like", "adm")[0] == 2  # it is there
    assert run("mine", "--like", "adm", "--force")[0] == 0


def test_copies_share_what_they_extend(run: Run) -> None:
    assert run("mine", "--like", "ldm_txt2img")[0] == 0
    assert run("other", "--like", "ldm_txt2img")[0] == 0
    Path("sd15.yaml").write_text("edited", encoding="utf-8")
    code, out = run("third", "--like", "ldm_txt2img")
    assert code == 2 and "sd15.yaml exists already" in out
    assert not Path("third.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--like", "addm"), "did you mean `unet/adm`?"),
        (("--like", "light_unet"), "did you mean `tiny/light_unet` or `unet/light_unet`?"),
        (("--like", "adm", "--image", "32"), "a copy has no choices of its own"),
        (("--target", "nowhere"), "`nowhere` is none of onnx"),
        (("--budget", "lots"), "`lots` is no number of parameters"),
        (("--like", "ldm_txt2img", "-o", "sd15.yaml"), "`ldm_txt2img` extends a sd15.yaml of its own"),
    ],
)
def test_what_is_asked_for_wrongly(arguments: tuple[str, ...], message: str, run: Run) -> None:
    code, out = run("mine", *arguments)
    assert code == 2
    assert message in " ".join(out.replace("│", " ").split())
    assert not Path("mine.yaml").exists()
