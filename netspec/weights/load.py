"""load_weights() and save_weights(): between a network and a file, in any layout, without pickles."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from netspec import document, layers, spec, validation
from netspec.embedded import spec_text
from netspec.errors import Diagnostic, SpecError, WeightsError, raise_all
from netspec.graph import Model
from netspec.spec import Spec
from netspec.weights import layouts
from netspec.weights.aligned import AlignedWriter
from netspec.weights.convert import converted
from netspec.weights.files import cannot_write
from netspec.weights.layouts import Layout
from netspec.weights.mismatch import check_fit
from netspec.weights.source import Weights, open_source
from netspec.weights.store import layout_of


def load_weights(model: Model, weights: Weights, layout: str | Layout = "netspec") -> None:
    """Give a network the weights of a checkpoint: all of them, or none and an error.

    Args:
        weights: a `.safetensors` file, a PyTorch checkpoint (`.pt`, `.pth`, `.ckpt`, `.bin`; tensors and plain data
            only) or a dictionary. What wraps a denoiser is taken off: `state_dict`, `module.`,
            `model.diffusion_model.`.
        layout: whose names and forms they have: `netspec`, `diffusers`, `ldm`, `dit`, any that is registered, or a
            layout with choices of its own: `Ldm(qkv="parts_first")`.

    Values are cast to the model's dtypes. A model on the meta device gets the tensors themselves.
    Raises WeightsError: NS603, NS604, NS605, NS606 (what does not fit, by block), NS609 (the layout cannot hold this
    network), NS610 (unknown layout), NS620 (copies that should be equal differ), and those of the file.
    """
    rules, source = layouts.find(layout), open_source(weights)
    check_fit(source, model.plan, rules)
    state = dict(
        converted(model, rules, source)
    )  # all of it before the first change: an error leaves the model as it is
    on_meta = any(tensor.is_meta for tensor in model.state_dict().values())
    model.load_state_dict(state, assign=on_meta)


def save_weights(model: Model, path: str | os.PathLike[str], layout: str | Layout = "netspec") -> None:
    """Write a network's weights as safetensors; the file appears when it is whole.

    In netspec's own layout the file is aligned and holds the resolved spec, so that it alone can rebuild the network
    (`spec_of`). In another layout it is what that program reads.
    Raises WeightsError: NS609 (the layout cannot hold this network), NS610 (unknown layout), NS617 (cannot be written).
    """
    rules = layouts.find(layout)
    if rules.name == "netspec":
        _save_aligned(model, path)
    else:
        _save_foreign(model, path, rules)


def _save_aligned(model: Model, path: str | os.PathLike[str]) -> None:
    with AlignedWriter(path, layout_of(model.plan, model)) as writer:
        for name, tensor in model.state_dict().items():
            writer.write(name, tensor)


def _save_foreign(model: Model, path: str | os.PathLike[str], layout: Layout) -> None:
    made = layout.ours_to_foreign(model.plan, model.state_dict())
    with torch.no_grad():  # a copy each: safetensors wants no tensor to share memory with another
        state = {name: tensor.detach().clone(memory_format=torch.contiguous_format) for name, tensor in made}
    target = Path(path)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        save_file(state, unfinished, metadata={"format": "pt"})  # diffusers asks for the format
        unfinished.replace(target)
    except (OSError, SafetensorError) as error:  # safetensors has a word of its own for a full disk
        raise cannot_write(path, OSError(str(error))) from error
    finally:
        unfinished.unlink(missing_ok=True)


def spec_of(path: str | os.PathLike[str]) -> Spec:
    """The spec that a weights file of ours carries.

    Raises WeightsError NS619 where it carries none, SpecError where what it carries is wrong, and those of the file.
    """
    text = spec_text(os.fspath(path))
    if text is None:
        raise WeightsError(Diagnostic("NS619", f"{os.fspath(path)} holds no spec", help=("name a .safetensors file",)))
    composed = layers.compose(document.loads(text, os.fspath(path)))
    try:
        validation.validate(composed)  # the file may come from anywhere
    except SpecError as error:  # an exporter that is not installed here matters to its targets, not to the network
        raise_all(each for each in error.diagnostics if each.code != "NS215")
    return spec.resolve(composed)
