"""The tiny models whose outputs make-goldens.py records: name → (config, dtype of the parameters, quantisation or None)."""

import math


def llama(**more):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-5,
        "vocab_size": 128,
        "max_position_embeddings": 512,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": True,
        **more,
    }


def mistral(**more):
    config = llama(architectures=["MistralForCausalLM"], model_type="mistral", sliding_window=None, tie_word_embeddings=False)
    del config["attention_bias"], config["mlp_bias"]
    return config | more


def qwen2(**more):
    config = llama(architectures=["Qwen2ForCausalLM"], model_type="qwen2", rms_norm_eps=1e-6, rope_theta=1000000.0, use_sliding_window=False)
    del config["attention_bias"], config["mlp_bias"]
    return config | more


def qwen3(**more):
    # Heads are wider than hidden / heads, as in the small models of this family.
    config = llama(architectures=["Qwen3ForCausalLM"], model_type="qwen3", head_dim=32, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=False)
    del config["mlp_bias"]
    return config | more


def gemma2(**more):
    # The soft caps are low enough, and the scale far enough from the head's, to show in tiny models.
    config = llama(architectures=["Gemma2ForCausalLM"], model_type="gemma2", head_dim=24, intermediate_size=96, vocab_size=96, rms_norm_eps=1e-6)
    for key in ("mlp_bias", "tie_word_embeddings", "hidden_act"):
        del config[key]
    options = {"hidden_activation": "gelu_pytorch_tanh", "attn_logit_softcapping": 6.0, "final_logit_softcapping": 12.0, "query_pre_attn_scalar": 40}
    return config | options | {"sliding_window": 4096, "cache_implementation": "hybrid"} | more


def gemma3_text(**more):
    # Layers 0 and 2 see six tokens, layer 1 sees all.
    config = gemma2(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", num_hidden_layers=3, head_dim=32, num_attention_heads=2)
    options = {"attn_logit_softcapping": None, "final_logit_softcapping": None, "num_key_value_heads": 1, "query_pre_attn_scalar": 24}
    rope = {"rope_theta": 10000.0, "rope_local_base_freq": 100.0, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
    return config | options | rope | {"sliding_window": 6, "sliding_window_pattern": 2} | more


def gemma3(**more):
    text = gemma3_text()
    del text["architectures"]
    vision = {"hidden_size": 32, "image_size": 56, "model_type": "siglip_vision_model", "num_hidden_layers": 1, "patch_size": 14}
    images = {"boi_token_index": 90, "eoi_token_index": 91, "image_token_index": 92, "mm_tokens_per_image": 4}
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text | more, "vision_config": vision}
    return config | images | {"vocab_size": config["text_config"].pop("vocab_size")}


def phi3(**more):
    config = llama(architectures=["Phi3ForCausalLM"], model_type="phi3", intermediate_size=96, vocab_size=96, tie_word_embeddings=False)
    del config["mlp_bias"]
    return config | {"original_max_position_embeddings": 512, "sliding_window": 2047, "rope_scaling": None} | more


def qwen3_moe(**more):
    config = qwen3(architectures=["Qwen3MoeForCausalLM"], model_type="qwen3_moe", num_attention_heads=2, num_key_value_heads=1, vocab_size=96)
    experts = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "norm_topk_prob": True}
    which = {"decoder_sparse_step": 1, "mlp_only_layers": [], "output_router_logits": False, "router_aux_loss_coef": 0.001}
    return config | experts | which | {"use_sliding_window": False, "sliding_window": None, "max_window_layers": 2} | more


def mixtral(**more):
    config = mistral(architectures=["MixtralForCausalLM"], model_type="mixtral", intermediate_size=32, vocab_size=96, rope_theta=1000000.0)
    experts = {"num_local_experts": 5, "num_experts_per_tok": 2, "output_router_logits": False, "router_aux_loss_coef": 0.02}
    return config | experts | more


def gpt_oss(**more):
    # Layer 0 sees six tokens, layer 1 sees all.
    config = llama(architectures=["GptOssForCausalLM"], model_type="gpt_oss", head_dim=24, intermediate_size=32, vocab_size=96, attention_bias=True)
    del config["mlp_bias"]
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_per_token": 2, "router_aux_loss_coef": 0.9, "output_router_logits": False}
    rope = {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 8.0, "original_max_position_embeddings": 64, "rope_type": "yarn", "truncate": False}
    windows = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"], "initial_context_length": 64}
    others = {"rope_theta": 150000, "rope_scaling": rope, "swiglu_limit": 7.0, "tie_word_embeddings": False}
    return config | experts | windows | others | more


MULTIPLIERS = {"attention_multiplier": 0.4, "embedding_multiplier": 6.0, "residual_multiplier": 0.6, "logits_scaling": 2.5}


def granite(**more):
    return llama(architectures=["GraniteForCausalLM"], model_type="granite", intermediate_size=64, vocab_size=96, rope_scaling=None) | MULTIPLIERS | more


def granitemoe(**more):
    experts = {"num_local_experts": 5, "num_experts_per_tok": 2, "output_router_logits": False, "router_aux_loss_coef": 0.001}
    config = granite(architectures=["GraniteMoeForCausalLM"], model_type="granitemoe", hidden_size=48, num_attention_heads=6, intermediate_size=32)
    del config["mlp_bias"]
    return config | experts | more


def olmo2(**more):
    config = llama(architectures=["Olmo2ForCausalLM"], model_type="olmo2", intermediate_size=64, vocab_size=96, num_key_value_heads=4, rope_theta=500000)
    del config["mlp_bias"]
    return config | {"rms_norm_eps": 1e-6, "tie_word_embeddings": False} | more


def olmo3(**more):
    # Layers 0 and 2 see six tokens and have an unstretched rope, layer 1 sees all.
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 32.0, "beta_slow": 1.0, "attention_factor": 1.1386294361119891}
    windows = {"sliding_window": 6, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "rope_scaling": rope}
    return olmo2(architectures=["Olmo3ForCausalLM"], model_type="olmo3", num_hidden_layers=3, rope_theta=500.0, **windows) | more


def olmoe(**more):
    experts = {"num_experts": 5, "num_experts_per_tok": 2, "norm_topk_prob": False, "clip_qkv": None}
    return olmo2(architectures=["OlmoeForCausalLM"], model_type="olmoe", intermediate_size=32, **experts) | more


def smollm3(**more):
    config = llama(architectures=["SmolLM3ForCausalLM"], model_type="smollm3", hidden_size=48, num_attention_heads=6, num_hidden_layers=3, vocab_size=96)
    types = {"layer_types": ["full_attention"] * 3, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 28}
    return config | types | {"intermediate_size": 80, "no_rope_layers": [1, 0, 1], "no_rope_layer_interval": 4, "rope_theta": 5000.0} | more


def cohere2(**more):
    # Layers 0 and 2 see five tokens and know positions, layer 1 sees all and knows none.
    config = llama(architectures=["Cohere2ForCausalLM"], model_type="cohere2", hidden_size=48, num_attention_heads=6, num_hidden_layers=3, vocab_size=96)
    for key in ("rms_norm_eps", "mlp_bias", "tie_word_embeddings"):
        del config[key]
    norms = {"layer_norm_eps": 1e-5, "logit_scale": 0.5, "use_qk_norm": False, "use_parallel_block": True, "use_gated_activation": True}
    windows = {"sliding_window": 5, "sliding_window_pattern": 2, "order_of_interleaved_layers": "local_attn_first", "rotary_pct": 1.0}
    others = {"head_dim": 8, "intermediate_size": 64, "position_embedding_type": "rope_gptj", "rope_theta": 50000, "rope_scaling": None}
    return config | norms | windows | others | {"cache_implementation": "hybrid", "use_embedding_sharing": True} | more


def ministral3(**more):
    config = llama(architectures=["Ministral3ForCausalLM"], model_type="ministral3", head_dim=24, num_hidden_layers=2, intermediate_size=64, vocab_size=96)
    for key in ("attention_bias", "mlp_bias", "rope_theta"):
        del config[key]
    yarn = {"rope_type": "yarn", "type": "yarn", "factor": 4.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 1.0}
    rope = yarn | {"rope_theta": 10000.0, "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.3}
    return config | {"rope_parameters": rope, "sliding_window": None, "tie_word_embeddings": False} | more


def mistral3(text):
    del text["architectures"]
    vision = {"hidden_size": 32, "image_size": 56, "model_type": "pixtral", "num_hidden_layers": 1, "patch_size": 14}
    images = {"image_token_index": 10, "multimodal_projector_bias": False, "projector_hidden_act": "gelu", "spatial_merge_size": 2}
    config = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3", "text_config": text, "vision_config": vision}
    return config | images | {"vision_feature_layer": -1}


def glm4(**more):
    config = llama(architectures=["Glm4ForCausalLM"], model_type="glm4", head_dim=24, intermediate_size=64, vocab_size=96, attention_bias=True)
    del config["mlp_bias"]
    return config | {"partial_rotary_factor": 0.5, "tie_word_embeddings": False} | more


def ernie4_5(**more):
    config = llama(architectures=["Ernie4_5ForCausalLM"], model_type="ernie4_5", head_dim=24, intermediate_size=64, vocab_size=96, rope_theta=5000.0)
    for key in ("attention_bias", "mlp_bias"):
        del config[key]
    return config | {"use_bias": False} | more


def ernie4_5_moe(**more):
    config = ernie4_5(architectures=["Ernie4_5_MoeForCausalLM"], model_type="ernie4_5_moe", num_hidden_layers=3, intermediate_size=128, head_dim=16)
    which = {"moe_layer_start_index": 1, "moe_layer_end_index": 2, "moe_layer_interval": 1, "moe_gate_act": "softmax", "moe_use_aux_free": True}
    experts = {"moe_num_experts": 5, "moe_k": 2, "moe_intermediate_size": 64, "moe_num_shared_experts": 2, "moe_capacity": [64, 64, 64]}
    return config | which | experts | more


def deepseek_v3(**more):
    config = llama(architectures=["DeepseekV3ForCausalLM"], model_type="deepseek_v3", intermediate_size=96, vocab_size=96, num_key_value_heads=4)
    del config["mlp_bias"]
    heads = {"q_lora_rank": 24, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 24}
    experts = {"n_routed_experts": 6, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True}
    choice = {"n_group": 2, "topk_group": 1, "routed_scaling_factor": 1.8, "scoring_func": "sigmoid", "topk_method": "noaux_tc"}
    where = {"first_k_dense_replace": 1, "moe_layer_freq": 1, "ep_size": 1, "num_nextn_predict_layers": 0}
    yarn = {"type": "yarn", "factor": 4.0, "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "original_max_position_embeddings": 64}
    return config | heads | experts | choice | where | {"rope_scaling": yarn, "tie_word_embeddings": False} | more


def lfm2(**more):
    config = llama(architectures=["Lfm2ForCausalLM"], model_type="lfm2", num_hidden_layers=3, vocab_size=96)
    for key in ("rms_norm_eps", "attention_bias", "mlp_bias", "hidden_act", "tie_word_embeddings", "intermediate_size"):
        del config[key]
    convolution = {"conv_L_cache": 3, "conv_bias": False, "conv_dim": 64, "conv_dim_out": 64, "conv_use_xavier_init": True}
    block = {"block_auto_adjust_ff_dim": True, "block_dim": 64, "block_ff_dim": 96, "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 32}
    types = {"layer_types": ["conv", "full_attention", "conv"], "full_attn_idxs": [1], "use_pos_enc": True, "norm_eps": 1e-5}
    return config | convolution | block | {"block_mlp_init_scale": 1.0, "block_norm_eps": 1e-5, "block_out_init_scale": 1.0} | types | more


def lfm2_moe(**more):
    # Layer 0 is dense, layer 1 attends.
    config = llama(architectures=["Lfm2MoeForCausalLM"], model_type="lfm2_moe", num_hidden_layers=3, intermediate_size=64, vocab_size=96)
    for key in ("rms_norm_eps", "attention_bias", "mlp_bias", "hidden_act", "tie_word_embeddings"):
        del config[key]
    experts = {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "num_dense_layers": 1, "norm_topk_prob": True}
    choice = {"use_expert_bias": True, "routed_scaling_factor": 1.5}
    return config | experts | choice | {"conv_L_cache": 3, "conv_bias": False, "layer_types": ["conv", "full_attention", "conv"], "norm_eps": 1e-5} | more


def qwen3_next(**more):
    # Layers 0 and 1 are recurrent, layer 2 attends.
    config = qwen3_moe(architectures=["Qwen3NextForCausalLM"], model_type="qwen3_next", num_hidden_layers=3, num_experts=4, vocab_size=96)
    linear = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4}
    others = {"full_attention_interval": 3, "shared_expert_intermediate_size": 32, "partial_rotary_factor": 0.25, "rope_theta": 10000.0}
    return config | linear | others | more


def qwen3_5(**more):
    # Layers 0 and 2 are recurrent, layer 1 attends.
    config = qwen3(architectures=["Qwen3_5ForConditionalGeneration"], model_type="qwen3_5_text", num_hidden_layers=3, vocab_size=96, intermediate_size=64)
    for key in ("architectures", "rope_theta"):
        del config[key]
    linear = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4}
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [2, 1, 1], "rope_theta": 10000.0, "partial_rotary_factor": 0.25}
    types = {"full_attention_interval": 2, "layer_types": ["linear_attention", "full_attention", "linear_attention"], "attn_output_gate": True}
    text = config | linear | {"rope_parameters": rope} | types | {"mamba_ssm_dtype": "float32"} | more
    return {"architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "text_config": text, "tie_word_embeddings": False}


def qwen3_5_moe(**more):
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24}
    layers = {"num_hidden_layers": 2, "layer_types": ["linear_attention", "full_attention"], "hidden_size": 48, "num_attention_heads": 2}
    text = experts | layers | {"model_type": "qwen3_5_moe_text", "num_key_value_heads": 1, "tie_word_embeddings": True}
    return qwen3_5(**text, **more) | {"architectures": ["Qwen3_5MoeForConditionalGeneration"], "model_type": "qwen3_5_moe"}


def mamba2(**more):
    return {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_heads": 8,
        "head_dim": 16,
        "state_size": 16,
        "n_groups": 2,
        "conv_kernel": 4,
        "expand": 2,
        "chunk_size": 256,
        "hidden_act": "silu",
        "layer_norm_epsilon": 1e-5,
        "rms_norm": True,
        "norm_before_gate": True,
        "residual_in_fp32": True,
        "tie_word_embeddings": True,
        "time_step_limit": [0.0, math.inf],
        "time_step_rank": 4,
        "use_bias": False,
        "use_conv_bias": True,
        "vocab_size": 96,
        **more,
    }


def nemotron_h(**more):
    config = llama(architectures=["NemotronHForCausalLM"], model_type="nemotron_h", intermediate_size=96, vocab_size=96, head_dim=24)
    for key in ("num_hidden_layers", "rms_norm_eps", "hidden_act", "rope_theta"):
        del config[key]
    mamba = {"mamba_num_heads": 4, "mamba_head_dim": 16, "mamba_proj_bias": False, "ssm_state_size": 16, "conv_kernel": 4, "n_groups": 2}
    bias = {"use_bias": False, "use_conv_bias": True, "layer_norm_epsilon": 1e-5, "mlp_hidden_act": "relu2", "mamba_hidden_act": "silu"}
    return config | mamba | bias | {"hybrid_override_pattern": "M-M*", "num_hidden_layers": 4, "tie_word_embeddings": False} | more


def granitemoehybrid(**more):
    # Layers 0 and 2 are recurrent, layer 1 attends.
    config = granite(architectures=["GraniteMoeHybridForCausalLM"], model_type="granitemoehybrid", hidden_size=48, num_attention_heads=6, num_hidden_layers=3)
    mamba = {"mamba_n_heads": 6, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_n_groups": 1, "mamba_expand": 2, "mamba_chunk_size": 256}
    bias = {"mamba_proj_bias": False, "mamba_conv_bias": True, "layer_types": ["mamba", "attention", "mamba"], "position_embedding_type": "nope"}
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2, "shared_intermediate_size": 32, "intermediate_size": 24}
    return config | mamba | bias | experts | more


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
# Twelve pairs: three quarters of a head of 32.
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0, 1.0, 1.05, 1.1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.7, 1.9, 2.0],
    "long_factor": [1.0, 1.1, 1.3, 1.6, 2.0, 2.5, 3.1, 3.8, 4.6, 5.5, 6.5, 8.0],
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}

WIDTHS = {"q_proj": (2, 32), "k_proj": (3, 64), "v_proj": (5, 32), "o_proj": (6, 64), "gate_proj": (8, 32), "up_proj": (3, 32), "down_proj": (6, 128)}
FP_MODES = {"q_proj": "mxfp4", "k_proj": "nvfp4", "v_proj": "mxfp8", "o_proj": "nvfp4", "gate_proj": "mxfp4", "up_proj": "mxfp8", "down_proj": "nvfp4"}


def by_widths(path, module):
    leaf = path.rsplit(".", 1)[-1]
    if leaf in WIDTHS:
        bits, group = WIDTHS[leaf]
        return {"group_size": group, "bits": bits}
    return True


def by_fp_mode(path, module):
    sizes = {"mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
    mode = FP_MODES.get(path.rsplit(".", 1)[-1])
    if mode is None:
        return True
    group, bits = sizes[mode]
    return {"group_size": group, "bits": bits, "mode": mode}


def experts_mxfp4(path, module):
    """As the usual conversions of gpt_oss: experts stay mxfp4, all else is 8 bits."""
    return True if ".mlp.experts." in path else {"group_size": 64, "bits": 8, "mode": "affine"}


def mixed_4_8(path, module):
    if path.endswith(("v_proj", "down_proj", "lm_head")):
        return {"group_size": 64, "bits": 8}
    return path != "model.layers.1.mlp.gate_proj"


# name → (config, dtype of the parameters, quantisation or None)
MODELS = {
    "llama-bf16-tied": (llama(), "BF16", None),
    "llama-bf16-rope-llama3": (llama(rope_scaling=LLAMA3, tie_word_embeddings=False), "BF16", None),
    "mistral-bf16": (mistral(num_hidden_layers=3, intermediate_size=96), "BF16", None),
    "qwen2-bf16-tied": (qwen2(), "BF16", None),
    "qwen3-bf16": (qwen3(), "BF16", None),
    "qwen3-bf16-rope-yarn": (qwen3(rope_theta=500.0, rope_scaling=YARN, tie_word_embeddings=True), "BF16", None),
    "llama-f16": (llama(tie_word_embeddings=False, num_key_value_heads=1), "F16", None),
    "llama-f32-biases": (llama(attention_bias=True, mlp_bias=True, intermediate_size=96, num_key_value_heads=4), "F32", None),
    "llama-q4-g64": (llama(vocab_size=256), "BF16", dict(group_size=64, bits=4)),
    "llama-q4-g64-f16-scales": (llama(vocab_size=256, tie_word_embeddings=False), "F16", dict(group_size=64, bits=4)),
    "llama-q4-g32-f32-scales": (llama(vocab_size=256), "F32", dict(group_size=32, bits=4)),
    "llama-mixed-4-8": (llama(vocab_size=256, tie_word_embeddings=False), "BF16", dict(group_size=64, bits=4, quant_predicate=mixed_4_8)),
    "llama-widths": (llama(vocab_size=256), "BF16", dict(group_size=64, bits=5, quant_predicate=by_widths)),
    "mistral-q4-g128": (mistral(hidden_size=128, intermediate_size=256, num_attention_heads=8, vocab_size=256), "BF16", dict(group_size=128, bits=4)),
    "qwen2-q4-g64": (qwen2(vocab_size=256, num_attention_heads=8, num_key_value_heads=2, hidden_size=128), "BF16", dict(group_size=64, bits=4)),
    "qwen3-q8-g32": (qwen3(vocab_size=160, tie_word_embeddings=True), "BF16", dict(group_size=32, bits=8)),
    "qwen3-fp-modes": (qwen3(vocab_size=256), "BF16", dict(group_size=32, bits=4, mode="mxfp4", quant_predicate=by_fp_mode)),
    "gemma2-bf16": (gemma2(hidden_size=48, intermediate_size=80), "BF16", None),
    "gemma2-q4-g64": (gemma2(vocab_size=160, intermediate_size=128, head_dim=32), "BF16", dict(group_size=64, bits=4)),
    "gemma3-text-bf16": (gemma3_text(hidden_size=48, intermediate_size=64), "BF16", None),
    "gemma3-q4-g32": (gemma3(intermediate_size=128, vocab_size=256), "BF16", dict(group_size=32, bits=4)),
    "phi3-bf16": (phi3(intermediate_size=64), "BF16", None),
    "phi3-q4-g32": (phi3(num_key_value_heads=4, sliding_window=None), "BF16", dict(group_size=32, bits=4)),
    "phi3-longrope": (
        phi3(hidden_size=64, num_attention_heads=2, num_key_value_heads=1, partial_rotary_factor=0.75, rope_scaling=LONGROPE)
        | dict(original_max_position_embeddings=8, tie_word_embeddings=True),
        "BF16",
        None,
    ),
    "qwen3-moe-bf16": (qwen3_moe(hidden_size=48, mlp_only_layers=[0], intermediate_size=80, num_experts=5), "BF16", None),
    "qwen3-moe-q4-g32": (qwen3_moe(num_experts=8, num_experts_per_tok=3, norm_topk_prob=False, tie_word_embeddings=True), "BF16", dict(group_size=32, bits=4)),
    "mixtral-bf16": (mixtral(hidden_size=48, num_attention_heads=6), "BF16", None),
    "mixtral-q4-g64": (mixtral(intermediate_size=64), "BF16", dict(group_size=64, bits=4)),
    "gpt-oss-bf16": (gpt_oss(hidden_size=48, head_dim=16, intermediate_size=24), "BF16", None),
    "gpt-oss-mxfp4": (gpt_oss(num_local_experts=6, head_dim=32), "BF16", dict(group_size=32, bits=4, mode="mxfp4", quant_predicate=experts_mxfp4)),
    "granite-bf16": (granite(), "BF16", None),
    "granite-q4-g64": (
        granite(attention_bias=True, mlp_bias=True, tie_word_embeddings=False, vocab_size=160, rope_theta=300.0, rope_scaling=LLAMA3),
        "BF16",
        dict(group_size=64, bits=4),
    ),
    "granitemoe-bf16": (granitemoe(), "BF16", None),
    "granitemoe-q4-g64": (granitemoe(hidden_size=64, num_attention_heads=4, intermediate_size=64, num_local_experts=6), "BF16", dict(group_size=64, bits=4)),
    "olmo2-bf16": (olmo2(hidden_size=48, num_attention_heads=6, num_key_value_heads=6), "BF16", None),
    "olmo2-q4-g64": (olmo2(num_key_value_heads=2, intermediate_size=128), "BF16", dict(group_size=64, bits=4)),
    "olmo3-bf16": (olmo3(), "BF16", None),
    "olmoe-q4-g32": (olmoe(), "BF16", dict(group_size=32, bits=4)),
    "smollm3-bf16": (smollm3(), "BF16", None),
    "smollm3-q4-g64": (
        smollm3(hidden_size=64, num_attention_heads=4, intermediate_size=128, no_rope_layers=None, no_rope_layer_interval=2, tie_word_embeddings=False),
        "BF16",
        dict(group_size=64, bits=4),
    ),
    "cohere2-bf16": (cohere2(), "BF16", None),
    "cohere2-q4-g64": (cohere2(hidden_size=64, num_attention_heads=2, num_key_value_heads=1, head_dim=32, intermediate_size=128), "BF16", dict(group_size=64, bits=4)),
    "ministral3-bf16": (ministral3(hidden_size=48), "BF16", None),
    "mistral3-q4-g64": (mistral3(mistral(intermediate_size=128, head_dim=32)), "BF16", dict(group_size=64, bits=4)),
    "mistral3-ministral3-q4-g64": (
        mistral3(ministral3(num_hidden_layers=3, layer_types=["sliding_attention", "full_attention", "sliding_attention"], sliding_window=6, intermediate_size=128, head_dim=32)),
        "BF16",
        dict(group_size=64, bits=4),
    ),
    "glm4-bf16": (glm4(hidden_size=48), "BF16", None),
    "glm4-q4-g32": (glm4(head_dim=32, attention_bias=False, intermediate_size=96), "BF16", dict(group_size=32, bits=4)),
    "ernie4-5-bf16": (ernie4_5(hidden_size=48), "BF16", None),
    "ernie4-5-moe-q4-g64": (ernie4_5_moe(use_bias=True, moe_num_experts=4, moe_num_shared_experts=1), "BF16", dict(group_size=64, bits=4)),
    "deepseek-v3-bf16": (deepseek_v3(hidden_size=48, num_attention_heads=3, num_key_value_heads=3, intermediate_size=64), "BF16", None),
    "deepseek-v3-q4-g32": (
        deepseek_v3(q_lora_rank=None, qk_nope_head_dim=32, kv_lora_rank=64, v_head_dim=32, moe_intermediate_size=32, n_group=1, rope_scaling=None),
        "BF16",
        dict(group_size=32, bits=4),
    ),
    "lfm2-bf16": (lfm2(hidden_size=48, block_dim=48, num_attention_heads=6), "BF16", None),
    "lfm2-q4-g64": (
        lfm2(layer_types=["conv", "conv", "full_attention"], full_attn_idxs=[2], block_auto_adjust_ff_dim=False, block_ff_dim=128, vocab_size=256),
        "BF16",
        dict(group_size=64, bits=4),
    ),
    "lfm2-moe-bf16": (lfm2_moe(hidden_size=48, num_attention_heads=6), "BF16", None),
    "lfm2-moe-q4-g32": (lfm2_moe(use_expert_bias=False, norm_topk_prob=False, num_experts=4), "BF16", dict(group_size=32, bits=4)),
    "qwen3-next-bf16": (qwen3_next(hidden_size=48, num_hidden_layers=2, full_attention_interval=2), "BF16", None),
    "qwen3-5-q4-g64": (qwen3_5(intermediate_size=128), "BF16", dict(group_size=64, bits=4)),
    "qwen3-5-moe-bf16": (qwen3_5_moe(), "BF16", None),
    "mamba2-bf16": (mamba2(hidden_size=48, intermediate_size=96, num_heads=6), "BF16", None),
    "nemotron-h-bf16": (nemotron_h(hidden_size=48), "BF16", None),
    "nemotron-h-moe-q4-g32": (
        nemotron_h(hybrid_override_pattern="ME*", num_hidden_layers=3, n_routed_experts=5, n_shared_experts=1, num_experts_per_tok=2, head_dim=32)
        | dict(moe_intermediate_size=32, moe_shared_expert_intermediate_size=64, n_group=1, topk_group=1, norm_topk_prob=True, routed_scaling_factor=2.5),
        "BF16",
        dict(group_size=32, bits=4),
    ),
    "granitemoehybrid-bf16": (granitemoehybrid(num_hidden_layers=2, layer_types=["mamba", "attention"]), "BF16", None),
    "granitemoehybrid-dense-q4-g32": (
        granitemoehybrid(hidden_size=64, num_attention_heads=4, num_local_experts=None, num_experts_per_tok=None, shared_intermediate_size=64)
        | dict(intermediate_size=64, position_embedding_type="rope", mamba_n_heads=4, mamba_d_head=32, mlp_bias=False),
        "BF16",
        dict(group_size=32, bits=4),
    ),
}
