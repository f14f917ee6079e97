"""Spec texts that several tests damage in their own ways: the examples of the language, word for word."""

SD15 = """\
netspec: 1
name: sd15-unet

inputs:
  x:    [batch, 4, height, width]      # noisy latent
  t:    [batch]                        # timestep
  text: [batch, 77, 768]               # CLIP ViT-L/14 hidden states
output: [batch, 4, height, width]      # predicted noise

dims:                                  # -> ONNX dynamic axes + TensorRT profile
  batch:  {min: 1,  opt: 2,  max: 8}
  height: {min: 32, opt: 64, max: 128}
  width:  {min: 32, opt: 64, max: 128}

conditioning:
  t: {embed: sinusoidal, dim: 320}     # -> MLP -> 1280, added in every ResNet block

unet:
  levels:                              # full resolution first; each next level halves H, W
    - {channels: 320,  transformer: 1}
    - {channels: 640,  transformer: 1}
    - {channels: 1280, transformer: 1}
    - {channels: 1280}
  mid: {transformer: 1}
  blocks_per_level: 2
  transformer: {num_heads: 8, context: text}

expect: {params: 859520964}
"""
