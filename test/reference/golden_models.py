"""The tiny models whose outputs make-goldens.py records: name → (config, dtype of the parameters, quantisation or None)."""


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
    del text["architectures"], text["vocab_size"]
    vision = {"hidden_size": 32, "image_size": 56, "model_type": "siglip_vision_model", "num_hidden_layers": 1, "patch_size": 14}
    images = {"boi_token_index": 90, "eoi_token_index": 91, "image_token_index": 92, "mm_tokens_per_image": 4}
    config = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": text | more, "vision_config": vision}
    return config | images | {"vocab_size": 96}


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
    "gemma3-q4-g32": (gemma3(intermediate_size=128), "BF16", dict(group_size=32, bits=4)),
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
}
