"""stand_in(): a netspec model, or a bundle, in the place of a diffusers pipeline's `unet`, `transformer` or `vae`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from netspec.errors import Diagnostic, UsageError
from netspec.families.autoencoder import Autoencoder, Half
from netspec.graph import Model
from netspec.importers.exporting import export
from netspec.integrations import packing
from netspec.integrations.arguments import assign, flat, meant
from netspec.integrations.networks import InBundle, InTorch, Network


def stand_in(
    network: Model | str | os.PathLike[str],
    like: nn.Module | Mapping[str, Any] | None = None,
    *,
    inputs: Mapping[str, str] | None = None,
    target: str = "",
) -> nn.Module:
    """A module that a pipeline takes for its own: `pipe.unet = stand_in(model, like=pipe.unet)`.

    Args:
        network: a model, which is put at inference, or the folder of a bundle, whose graphs run on their own runtime.
        like: what it stands in for: the diffusers model, or its config (as in `config.json`, with `_class_name`).
            Arguments and config are those of that class; its weights are not read. Without it, the class and config
            that `netspec export-config` finds for the spec, which know the network, but no scale of its latents.
        inputs: diffusers' argument → the spec's input, where `netspec.integrations.arguments` finds another one;
            `added_cond_kwargs.text_embeds` names what lies in a mapping.
        target: the bundle's target to run; by default the first that has the output.

    Raises UsageError where diffusers is missing (NS931), or an input of the spec has no argument (NS932); ForeignError
    where `like` is left out and no diffusers class can express the spec. The module raises UsageError (NS933) when a
    pipeline asks for what the network does not have, such as ControlNet's residuals.
    """
    runs: Network = InTorch(network) if isinstance(network, Model) else InBundle(network, target)
    original = _original(export(runs.plan.spec) if like is None else like)
    if isinstance(runs.plan.spec.family, Autoencoder):
        return AutoencoderStandIn(runs, original)
    return DenoiserStandIn(runs, original, inputs or {})


def _original(like: nn.Module | Mapping[str, Any]) -> nn.Module:
    """A diffusers model of the class and config to stand in for; without memory where it must be made."""
    try:
        import diffusers
    except ImportError as error:
        help = ("pip install 'netspec[diffusers]'",)
        raise UsageError(Diagnostic("NS931", f"diffusers cannot be imported: {error}", help=help)) from error
    if isinstance(like, nn.Module):
        return like
    with torch.device("meta"):
        return getattr(diffusers, like["_class_name"]).from_config(dict(like))  # type: ignore[no-any-return]


class _StandIn(nn.Module):
    """What pipelines touch of any of their models."""

    def __init__(self, network: Network, original: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.config: Any = original.config
        self.eval()

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and activations."""
        return self.network.dtype

    @property
    def device(self) -> torch.device:
        """Where inputs are expected."""
        return self.network.device

    @contextmanager
    def cache_context(self, name: str) -> Iterator[None]:
        """Nothing is kept between two calls, so no call needs a name."""
        yield


class DenoiserStandIn(_StandIn):
    """A denoiser with the arguments of one diffusers class; see `stand_in`."""

    def __init__(self, network: Network, original: nn.Module, inputs: Mapping[str, str]) -> None:
        super().__init__(network, original)
        self._signature = inspect.signature(type(original).forward)
        self._assigned = assign(network.plan, self._signature, inputs)
        if width := self.config.get("projection_class_embeddings_input_dim"):  # StableDiffusionXLPipeline reads it
            self.add_embedding = SimpleNamespace(linear_1=SimpleNamespace(in_features=width))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output as diffusers gives it: an object with `.sample`, or a tuple with `return_dict=False`.

        Raises UsageError (NS933) for an argument that the network has no input for, unless it asks for nothing, and
        TypeError for one that the diffusers class does not know.
        """
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        given = flat(self._signature.bind(self, *args, **kwargs).arguments)
        given.pop("self", None)
        as_object = given.pop("return_dict", True)
        size = self._unpack(given)
        made = self.network.run(self._inputs(given), next(iter(self.network.plan.outputs)))
        if size is not None:
            made = packing.packed(made, size)
        return Transformer2DModelOutput(sample=made) if as_object else (made,)

    def _unpack(self, given: dict[str, Any]) -> tuple[int, int] | None:
        """Turn packed patches into the image that the network takes. Rows and columns of patches, None where the
        network takes what it is given."""
        tokens, ids = given.get("hidden_states"), given.get("img_ids")
        name = self._assigned.get("hidden_states", ("",))[0]
        if tokens is None or ids is None or self.network.plan.inputs[name].layout != "image":
            return None
        try:
            size = packing.grid(ids)
        except ValueError as error:
            raise self._refused(f"takes whole images, and in `img_ids` {error}") from error
        given["hidden_states"] = packing.unpacked(tokens, size, self.network.plan.inputs[name].channels)
        del given["img_ids"]
        return size

    def _inputs(self, given: Mapping[str, Any]) -> dict[str, Tensor]:
        for name, value in given.items():
            usual = parameter.default if (parameter := self._signature.parameters.get(name)) else None
            if name not in self._assigned and meant(name, value, usual):
                raise self._refused(f"has no input for `{name}`")
        batch = next(given[name].shape[0] for name in self._assigned if isinstance(given.get(name), Tensor))
        found: dict[str, Tensor] = {}
        for argument, names in self._assigned.items():
            if given.get(argument) is None:
                raise self._refused(f"needs `{argument}`, which is its input `{', '.join(names)}`")
            found |= self._split(argument, given[argument], names, batch)
        return found

    def _split(self, argument: str, value: Any, names: tuple[str, ...], batch: int) -> dict[str, Tensor]:
        """One argument as the inputs that it fills, with the batch axis, in their dtypes."""
        types = [self.network.plan.inputs[name] for name in names]
        value = torch.as_tensor(value, device=self.device)
        while value.ndim < len(types[0].shape):
            value = value[None]
        if value.shape[0] == 1:
            value = value.expand(batch, *value.shape[1:])
        parts: tuple[Tensor, ...] = (value,)
        if len(names) > 1:
            widths = [type_.channels for type_ in types]
            if value.shape[1] != sum(widths):
                raise self._refused(f"takes {sum(widths)} channels as `{argument}`, these are {value.shape[1]}")
            parts = value.split(widths, dim=1)
        return {name: part.to(self.network.dtype_of(name)) for name, part in zip(names, parts, strict=True)}

    def _refused(self, what: str) -> UsageError:
        return UsageError(Diagnostic("NS933", f"{self.network.plan.spec.name} {what}"))


class AutoencoderStandIn(_StandIn):
    """An autoencoder of diffusers' `encode` and `decode`; see `stand_in`."""

    @property
    def post_quant_conv(self) -> nn.Module:
        """Something with parameters of the autoencoder's dtype: StableDiffusionXLPipeline asks it for that."""
        return self.network

    def encode(self, x: Tensor, return_dict: bool = True) -> Any:
        """The distribution of latents, as `.latent_dist` or the only item of a tuple. x: (N, C, H, W) in [-1, 1]."""
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
        from diffusers.models.modeling_outputs import AutoencoderKLOutput

        posterior = DiagonalGaussianDistribution(self._half("encoder", x))
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None) -> Any:
        """The image, as `.sample` or the only item of a tuple. z: (N, C, H, W), not scaled. Nothing is drawn."""
        from diffusers.models.autoencoders.vae import DecoderOutput

        made = self._half("decoder", z)
        return DecoderOutput(sample=made) if return_dict else (made,)

    def forward(
        self,
        sample: Tensor,
        sample_posterior: bool = False,
        return_dict: bool = True,
        generator: torch.Generator | None = None,
    ) -> Any:
        """encode, then decode the mode or, with `sample_posterior`, a draw."""
        posterior = self.encode(sample).latent_dist
        z = posterior.sample(generator=generator) if sample_posterior else posterior.mode()
        return self.decode(z, return_dict=return_dict)

    def _half(self, name: str, x: Tensor) -> Tensor:
        half: Half | None = getattr(self.network.plan.spec.family, name)
        if half is None:
            raise UsageError(Diagnostic("NS933", f"{self.network.plan.spec.name} has no {name}"))
        value = x.to(self.device, self.network.dtype_of(half.input))
        return self.network.run({half.input: value}, half.output)
