"""load_weights() and save_weights(): between a network and a file, in any layout, without pickles."""

from __future__ import annotations

import os
from pathlib import Path

from netspec import document, layers, spec, validation
from netspec.embedded import spec_text
from netspec.errors import Diagnostic, SpecError, WeightsError, raise_all
from netspec.graph import Model
from netspec.spec import Spec
from netspec.weights import layouts
from netspec.weights.aligned import AlignedWriter, TensorInfo, dtype_name
from netspec.weights.checkpoint import Weights, open_checkpoint
from netspec.weights.convert import converted
from netspec.weights.layouts import OWN, Layout
from netspec.weights.mismatch import check_fit
from netspec.weights.recognise import AUTO, Reading, recognise
from netspec.weights.rewrite import Rewriting
from netspec.weights.source import Source
from netspec.weights.store import layout_of


def load_weights(model: Model, weights: Weights, layout: str | Layout = AUTO, *, ema: bool = False) -> Reading:
    """Give a network the weights of a checkpoint: all of them, or none and an error.

    Args:
        weights: a `.safetensors` file, the index or the folder of one in shards, a PyTorch checkpoint (`.pt`, `.pth`,
            `.ckpt`, `.bin`; tensors and plain data only) or a dictionary. The network is found in it, whatever stands
            before its names (`state_dict`, `module.`, `model.diffusion_model.`) or beside it.
        layout: whose names and forms they have: `auto` tells from the keys; `netspec`, `diffusers`, `ldm`, `dit`, any
            that is registered, with choices of its own as in `ldm:qkv=parts_first` or `Ldm(qkv="parts_first")`.
        ema: take the averaged weights of a file that holds both.

    Values are cast to the model's dtypes. A model on the meta device gets the tensors themselves. Returns how the file
    was read; `remarks()` of it are sentences.
    Raises WeightsError: NS603, NS604, NS605, NS606 (what does not fit, by block), NS609 (the layout cannot hold this
    network), NS610 (unknown layout), NS620 (copies that should be equal differ), NS622 (no average), NS623 (no layout
    has such keys), and those of the file.
    """
    checkpoint = open_checkpoint(weights)
    reading = recognise(checkpoint, model.plan, layout, ema=ema)
    check_fit(reading, checkpoint, model.plan)
    state = dict(converted(model, reading))  # all of it before the first change: an error leaves the model as it is
    on_meta = any(tensor.is_meta for tensor in model.state_dict().values())
    model.load_state_dict(state, assign=on_meta)
    return reading


def save_weights(model: Model, path: str | os.PathLike[str], layout: str | Layout = OWN) -> None:
    """Write a network's weights as safetensors; the file appears when it is whole.

    In netspec's own layout the file is aligned and holds the resolved spec, so that it alone can rebuild the network
    (`spec_of`). In another layout it is what that program reads.
    Raises WeightsError: NS609 (the layout cannot hold this network), NS610 (unknown layout), NS617 (cannot be written).
    """
    rules, state = layouts.find(layout), model.state_dict()
    if rules.name == OWN:
        with AlignedWriter(path, layout_of(model.plan, model)) as writer:
            for name, tensor in state.items():
                writer.write(name, tensor)
        return
    infos = {key: TensorInfo(key, dtype_name(value.dtype), tuple(value.shape)) for key, value in state.items()}
    own = layouts.find(OWN).entries(model.plan)
    Rewriting(model.plan, Source("the network", infos, state.__getitem__), own, rules).write(Path(path))


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
