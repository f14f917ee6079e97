"""What other tools call the things of a spec, as data: a foreign word, and what netspec writes instead.

The words are those of configuration files people copy from: diffusers, LDM, ADM, lucidrains, MONAI, Hugging Face.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Synonym:
    """`says` completes "netspec writes this as …"; with `whole` it is the sentence itself.

    `within` are the mappings that the word is foreign to, by the names along their path (`dit`, `transformer`;
    `""` is the top level); none: everywhere. Of two that fit, the first holds.
    """

    words: tuple[str, ...]
    says: str
    within: tuple[str, ...] = ()
    whole: bool = False

    @property
    def help(self) -> str:
        return self.says if self.whole else f"netspec writes this as {self.says}"


_ROWS = "rows of `levels`: one {channels: …} per resolution, full resolution first"
_HEADS = "num_heads or head_dim (in diffusers' SD 1.x config this number is the head COUNT)"
_FAMILY = "one key per family: `unet:`, `dit:` or `autoencoder:`, with its settings below"
_CODE = "a spec only names registered components: `netspec list` shows them"

TABLE: Final = (
    # widths and rows
    Synonym(("block_out_channels", "dim_mults", "channels", "num_channels", "features", "feature_channels",
             "filters", "encoder_channels", "hidden_channels"), _ROWS, ("unet", "autoencoder")),
    Synonym(("channel_mult", "ch_mult", "channel_mults", "channel_multiplier", "channel_multipliers"),
            "`multiplier` of each row of `levels`, times base_channels", ("unet", "autoencoder")),
    Synonym(("model_channels", "ch", "nf", "n_feat", "dim", "init_dim", "base_channel", "num_init_features", "width"),
            "base_channels, with a `multiplier` in each row of `levels`", ("unet", "autoencoder")),
    Synonym(("depths",), "depth, or blocks_per_level in a U-Net", ("dit",)),
    Synonym(("layers_per_block", "num_res_blocks", "depths", "num_blocks", "n_blocks", "num_layers", "res_blocks",
             "blocks", "num_resnet_blocks", "resnet_block_groups_per_level"), "blocks_per_level",
            ("unet", "autoencoder")),
    # what stands at a level
    Synonym(("attention_resolutions", "attention_levels", "attn_resolutions", "down_block_types", "up_block_types",
             "full_attn", "layer_attns", "attn_levels"), "`attention` or `transformer` in the rows of `levels`",
            ("unet", "autoencoder")),
    Synonym(("transformer_depth", "transformer_layers_per_block", "transformer_num_layers"),
            "`transformer: <depth>` in the rows of `levels`", ("unet",)),
    Synonym(("cross_attention_dim", "context_dim", "encoder_hid_dim", "cond_dim", "caption_channels",
             "joint_attention_dim", "text_dim", "text_embed_dim", "context_channels", "context_in_dim"),
            "the last size of the context input (inputs.<name>)"),
    Synonym(("with_conditioning", "use_spatial_transformer"), "`transformer` with a `context`", ("unet",)),
    Synonym(("layer_cross_attns",), "`transformer` in the rows of `levels`", ("unet",)),
    Synonym(("only_cross_attention", "mid_block_only_cross_attention", "double_self_attention", "disable_self_attn",
             "disable_self_attentions"), "`attends` of a transformer: [context, context] or [self, self]", ("unet",)),
    Synonym(("attn", "attentions", "self_attention", "use_attention", "attn_type"), "attention",
            ("unet", "autoencoder")),
    # heads
    Synonym(("attention_head_dim",), _HEADS),
    Synonym(("num_attention_heads", "n_heads", "n_head", "heads", "nheads", "attn_heads"), "num_heads"),
    Synonym(("num_head_channels", "dim_head", "attn_dim_head", "head_size", "head_channels", "d_head"), "head_dim"),
    # transformers
    Synonym(("num_layers", "n_layers", "n_layer", "num_hidden_layers", "num_blocks", "layers"), "depth",
            ("dit", "transformer")),
    Synonym(("embed_dim", "dim", "width", "d_model", "n_embd", "hidden_dim", "model_dim", "inner_dim",
             "model_channels", "channels"), "hidden_size", ("dit",)),
    Synonym(("patch", "patch_sizes", "p"), "patch_size", ("dit",)),
    Synonym(("ff_mult", "mlp_mult", "ffn_mult", "multiple_of", "ffn_dim_multiplier", "intermediate_size", "ffn_dim"),
            "mlp_ratio (hidden width of the MLP over hidden_size)", ("dit", "transformer")),
    Synonym(("pos_embed_type", "position_embedding", "positional_embedding", "pos_emb"), "pos_embed", ("dit",)),
    Synonym(("interpolation_scale", "pe_interpolation", "lewei_scale", "base_size"),
            "`pos_embed: {span: …}`, the places of the training image's side over that scale", ("dit",)),
    Synonym(("attention_mask", "encoder_attention_mask", "attn_mask", "text_mask"),
            "`context: {mask: …}`, the input with a number for each token", ("dit",)),
    Synonym(("use_additional_conditions", "micro_condition", "micro_conditions"),
            "an entry of `conditioning` with `embed: numbers`", ("dit",)),
    Synonym(("norm_type",), "`modulation` for adaLN, `norm` for a kind of norm"),
    Synonym(("adaln", "ada_norm", "use_adaln"), "`modulation: adaln_zero` or `modulation: adaln`", ("dit",)),
    Synonym(("qk_normalization", "use_qk_norm", "qknorm"), "qk_norm", ("dit",)),
    Synonym(("num_single_layers", "depth_single_blocks", "single_blocks"), "single_depth", ("dit",)),
    Synonym(("dual_attention_layers", "x_block_self_attn_layers"), "dual_attention", ("dit",)),
    Synonym(("context_pre_only", "pre_only"), "`context: {update_last: false}`", ("dit",)),
    Synonym(("axes_dim", "axes_dims_rope", "rope_axes"), "`pos_embed: {type: rope, axes: […]}`", ("dit",)),
    Synonym(("pos_embed_max_size",), "`pos_embed: {grid: …, crop: center}`", ("dit",)),
    Synonym(("guidance_embed", "guidance_embeds"), "an entry of `conditioning`, such as "
            "`guidance: {embed: sinusoidal, dim: 256, scale: 1000}`", ("dit",)),
    Synonym(("pooled_projection_dim", "vec_in_dim", "adm_in_channels"),
            "the width of an input that `conditioning` embeds by `mlp`", ("dit",)),
    # conditioning
    Synonym(("num_class_embeds", "num_classes", "class_embed_type", "class_dropout_prob", "label_dim", "n_classes"),
            "conditioning.<y>.classes (with `embed: label`)"),
    Synonym(("num_embeds_ada_norm",), "conditioning.<y>.classes (with `embed: label`)"),
    Synonym(("time_embedding_type", "time_embed_dim", "time_embedding_dim", "time_dim", "addition_embed_type",
             "projection_class_embeddings_input_dim", "addition_time_embed_dim", "adm_in_channels"),
            "an entry of `conditioning`, such as `t: {embed: sinusoidal, dim: 320}`"),
    Synonym(("flip_sin_to_cos",), "`order: cos_sin` (true) or `order: sin_cos` (false)"),
    Synonym(("resnet_time_scale_shift", "use_scale_shift_norm", "time_embedding_norm"),
            "`block.modulation: scale_shift`", ("unet",)),
    Synonym(("downscale_freq_shift",), "freq_shift"),
    Synonym(("theta", "max_periods", "sinusoidal_pos_emb_theta"), "max_period", ("conditioning",)),
    Synonym(("type", "name", "kind"), "`embed`", ("conditioning",)),
    Synonym(("num_embeddings", "num_steps", "num_train_timesteps"), "steps (of `embed: learned`)", ("conditioning",)),
    # the outside
    Synonym(("in_channels", "sample_size", "image_size", "input_size", "img_size", "resolution", "in_ch"),
            "sizes of the image input: `inputs: {x: [batch, 4, height, width]}`", ("unet", "dit", "autoencoder")),
    Synonym(("z_channels", "latent_channels", "embed_dim", "n_z", "num_latent_channels"),
            "channels of the latent: `inputs: {latent: [batch, 4, rows, columns]}`", ("autoencoder",)),
    Synonym(("double_z",), "twice the latent's channels in the encoder's output", ("autoencoder",)),
    Synonym(("use_quant_conv", "use_post_quant_conv", "quant_conv"), "`quant: none` for none", ("autoencoder",)),
    Synonym(("mid_block_add_attention",), "`attention` of `mid`", ("autoencoder",)),
    Synonym(("out_channels", "out_dim", "out_ch"), "the second size of `output`"),
    Synonym(("learn_sigma", "pred_sigma", "learned_variance", "learned_sinusoidal_cond"),
            "twice the channels in `output`"),
    Synonym(("spatial_dims", "conv_dims"), "the number of sizes of the image input", ("unet", "dit")),
    # blocks
    Synonym(("norm_num_groups", "resnet_groups", "resnet_block_groups", "num_groups", "norm_groups"),
            "`norm: {type: group, groups: …}` of the block"),
    Synonym(("norm_eps", "resnet_eps", "epsilon"), "`norm: {eps: …}` of the block"),
    Synonym(("act_fn", "activation", "nonlinearity", "non_linearity", "activation_fn"), "act"),
    Synonym(("kernel_size", "conv_kernel", "conv_in_kernel", "ksize"), "kernel"),
    Synonym(("drop", "drop_rate", "p_dropout", "dropout_prob", "attn_drop", "proj_drop"), "dropout"),
    Synonym(("output_scale_factor", "skip_rescale"), "`scale` of the block (0.70710678 divides by sqrt 2)"),
    Synonym(("mid_block_type", "mid_block", "middle_block", "bottleneck"), "mid (`mid: none` for none)",
            ("unet", "autoencoder")),
    Synonym(("downsample_type", "conv_resample", "resamp_with_conv", "downsample_padding"),
            "downsample and upsample, such as `downsample: avgpool`", ("unet", "autoencoder")),
    Synonym(("upsample_type", "bilinear", "up_mode"), "upsample, such as `upsample: bilinear`",
            ("unet", "autoencoder")),
    Synonym(("resblock_updown",), "`downsample: resnet` and `upsample: resnet`", ("unet",)),
    Synonym(("skip_connection", "skip_connections", "skip_type"), "skip", ("unet",)),
    Synonym(("conv_in", "init_conv", "input_conv"), "stem", ("unet", "autoencoder")),
    Synonym(("conv_out", "final_conv", "output_conv"), "head", ("unet", "autoencoder")),
    Synonym(("qkv_bias", "attention_bias", "attn_bias"), "`qkv_bias` of `attention`", ("unet", "dit")),
    # code and top level
    Synonym(("_target_", "_class_name", "target", "class", "cls", "class_path"), _CODE, whole=True),
    Synonym(("architecture", "model", "arch", "family", "network", "type"), _FAMILY, ("",)),
    Synonym(("version", "netspec_version", "spec_version", "schema_version"), "netspec (`netspec: 1`)"),
    Synonym(("base", "inherits", "parent", "_base_", "defaults"), "extends"),
    Synonym(("parameters", "num_params", "n_params", "param_count", "total_params"), "params", ("expect",)),
    Synonym(("flops", "macs", "gmacs", "tflops"), "gflops (2 x the multiply-adds, in billions)", ("expect",)),
    Synonym(("params", "parameters", "config", "kwargs", "args", "init_args"),
            "settings stand directly under the component that they belong to", whole=True),
    Synonym(("runtime",), "`runtime` is reserved for a later version: checkpointing and memory format are arguments "
            "of `netspec.build` for now", whole=True),
    # targets
    Synonym(("float32", "full"), "fp32", ("precision",)),
    Synonym(("float16", "half"), "fp16", ("precision",)),
    Synonym(("bfloat16",), "bf16", ("precision",)),
    Synonym(("dtype", "torch_dtype", "weight_dtype", "half", "fp16", "bf16", "fp8", "int8", "int4", "quantization",
             "quantize"), "`precision: …`", ("targets",)),
    Synonym(("shapes", "input_shapes", "dynamic_axes", "dynamic_shapes"), "`dims: {…}`", ("targets",)),
    Synonym(("backend",), "`exporter: …`", ("targets",)),
    Synonym(("dtype", "torch_dtype", "precision"), "`precision` of a target, or `dtype` of an input"),
    Synonym(("gradient_checkpointing", "use_checkpoint", "use_fp16", "use_flash_attention"),
            "this is an argument of `netspec.build`, not part of the network", whole=True),
)  # fmt: skip

# Names of components and closed words: what others call them → ours, tried wherever a slot has that name.
NAMES: Final = {
    "swish": "silu", "gn": "group", "groupnorm": "group", "group_norm": "group", "layernorm": "layer",
    "layer_norm": "layer", "ln": "layer", "batchnorm": "batch", "batch_norm": "batch", "bn": "batch",
    "instancenorm": "instance", "instance_norm": "instance", "rmsnorm": "rms", "rms_norm": "rms",
    "leakyrelu": "leaky_relu", "lrelu": "leaky_relu", "ada_norm_zero": "adaln_zero", "adaln-zero": "adaln_zero",
    "sin_cos": "sincos", "sinusoidal": "sincos", "positional": "sinusoidal", "timestep": "sinusoidal",
    "time": "sinusoidal", "gaussian_fourier": "fourier", "class": "label", "labels": "label", "identity": "none",
    "null": "none", "off": "none", "resblock": "resnet", "res": "resnet", "resnetblock": "resnet", "default": "full",
    "max": "maxpool", "max_pool": "maxpool", "avg": "avgpool", "average": "avgpool", "avg_pool": "avgpool",
    "strided": "conv", "transpose": "conv_transpose", "deconv": "conv_transpose", "blur": "blurpool",
    "pixelshuffle": "pixel_shuffle", "concatenate": "concat", "cat": "concat", "sum": "add", "plus": "add",
    "half": "fp16", "float16": "fp16", "bfloat16": "bf16", "float32": "fp32", "int": "int64", "long": "int64",
    "float": "float32", "ada_group": "scale_shift", "scaleshift": "scale_shift", "additive": "add",
    "ada_norm_single": "adaln_single", "self": "full", "vanilla": "full", "centre": "center",
}  # fmt: skip


def lookup(key: str, path: tuple[str | int, ...]) -> str | None:
    """The help for a key that netspec does not have in the mapping at `path`, where the table knows the key."""
    names = frozenset(part for part in path if isinstance(part, str)) or frozenset(("",))
    for synonym in _BY_WORD.get(key.lower().replace("-", "_"), ()):
        if not synonym.within or names.intersection(synonym.within):
            return synonym.help
    return None


def foreign_to(mapping: str, key: str) -> str | None:
    """The help for a key that is foreign to a mapping of that name in particular."""
    words = _BY_WORD.get(key.lower().replace("-", "_"), ())
    return next((synonym.help for synonym in words if mapping in synonym.within), None)


def _index() -> dict[str, list[Synonym]]:
    found: dict[str, list[Synonym]] = {}
    for synonym in TABLE:
        for word in synonym.words:
            found.setdefault(word, []).append(synonym)
    return found


_BY_WORD = _index()
