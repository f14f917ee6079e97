"""Other libraries' places for a network, filled with ours. Each library is an optional extra, imported when it is used.

diffusers.py   stand_in(): a model or a bundle as a pipeline's `unet`, `transformer` or `vae`
arguments.py   which argument of theirs is which input of a spec
packing.py     latents that come as packed patches
networks.py    a model in PyTorch and a bundle on its runtime, behind one call
"""
