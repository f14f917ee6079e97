"""Families of networks: each is one key of a spec, and the wiring that turns its choices into nodes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from netspec.fields import Param
from netspec.registry import Component, Record, referred
from netspec.tensors import Layout, TensorType
from netspec.wiring.image import JoinImages, JoinTokens, Resize

if TYPE_CHECKING:
    from netspec.builder import Builder
    from netspec.plan import Value
    from netspec.spec import Spec


class Family(Component, kind="family", tag=""):
    """A way to wire blocks. `convention` is the lineage whose silent numerics hold unless the spec names another."""

    convention: ClassVar[str]

    @abstractmethod
    def lower(self, b: Builder) -> Mapping[str, Value]:
        """Add this network's nodes to the plan and say who makes each of the spec's outputs."""

    def mains(self, spec: Spec, inputs: Mapping[str, TensorType]) -> list[str]:
        """The inputs that the family takes without being told their names."""
        return []

    def makes(self, spec: Spec) -> list[str]:
        """The outputs that the family makes."""
        return list(spec.outputs)[:1]


class ImagePart(Record, shorthand="input"):
    """One of the inputs that make up the image."""

    input: Annotated[str, Param("the input", refers="input")]
    resize: Annotated[
        Literal["none", "nearest", "bilinear"],
        Param(
            "how it comes to the first one's height and width",
            words={
                "none": "it has that size already",
                "nearest": "each pixel takes its nearest",
                "bilinear": "between four pixels",
            },
        ),
    ] = "none"


class Denoiser(Family):
    """A family with one image, latent or token sequence going in and one coming out."""

    image: Annotated[
        tuple[ImagePart, ...], Param("inputs joined along their channels as the image; by default the only image")
    ] = ()

    @property
    def takes(self) -> Layout:
        """What the image comes as: pixels on a grid, or tokens."""
        return "image"

    @abstractmethod
    def denoise(self, b: Builder, x: Value, channels: int) -> Value:
        """Add this network's nodes to the plan: from the image `x` to an image of `channels`."""

    def lower(self, b: Builder) -> Mapping[str, Value]:
        (name,) = self.makes(b.spec)
        return {name: self.denoise(b, self._picture(b), b.channels(name))}

    def mains(self, spec: Spec, inputs: Mapping[str, TensorType]) -> list[str]:
        """The image; more than one where the spec does not say how they are joined."""
        if self.image:
            return [part.input for part in self.image]
        claimed = {*spec.embedded, *referred(self)}
        return [name for name, type_ in inputs.items() if name not in claimed and type_.layout == self.takes]

    def _picture(self, b: Builder) -> Value:
        """The image input, or the node that joins several."""
        names = self.mains(b.spec, b.inputs)
        first, *rest = (b.input(name) for name in names)
        if not rest:
            return first
        joined, at = [first], (self.name, "image")
        for part, value in zip(self.image[1:], rest, strict=True):
            if part.resize != "none":
                value = b.add(f"resize_{part.input}", Resize(mode=part.resize), value, first, at=at, stage="stem")
            joined.append(value)
        rule = JoinTokens() if self.takes == "tokens" else JoinImages()
        return b.add("join_images", rule, *joined, at=at, stage="stem")
