"""Rewrites of a network for one target: `targets: {edge: {…, transforms: [linear_as_conv]}}`.

rewriting.py            a network opened into graphs whose values have known sizes; what a rewrite is given
linear_as_conv.py       linear layers on tokens as 1x1 convolutions
chunked_attention.py    queries in chunks
attention_per_head.py   one attention for each head
static_group_norm.py    group norms by reshapes and means

Each computes the same from the same weights. A plugin adds its own with an entry point of the group
`netspec.transforms`; docs/deploy/edge.md says what each of these costs and gains.
"""
