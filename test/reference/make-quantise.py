"""Records digests of what MLX's CPU quantiser gives for many numbers, in mlx-arrays/quantise.json. See README.md.

The numbers are not stored: they are made from a hash of their index, here and in src/formats/mlx/mlx-agreement.test.ts."""

import hashlib
import json
from pathlib import Path

import mlx.core as mx
import numpy as np

ROWS, COLUMNS = 64, 512
DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


def mixed(index):
    with np.errstate(over="ignore"):
        h = index * np.uint32(2654435761)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
        return h ^ (h >> np.uint32(16))


def numbers(seed):
    """Sums of four 16-bit numbers, near a normal distribution; each row has a size of its own. Exact in float32."""
    index = np.arange(ROWS * COLUMNS, dtype=np.uint32) * np.uint32(4) + np.uint32(seed * 1_000_003)
    total = sum((mixed(index + np.uint32(k)) & np.uint32(0xFFFF)).astype(np.int64) for k in range(4)) - 131_070
    size = 2.0 ** -(20 + (np.arange(ROWS) % 5))
    return (total.reshape(ROWS, COLUMNS) * size[:, None]).astype(np.float32)


def digest(array):
    if array.dtype in (mx.bfloat16, mx.float16):
        array = array.view(mx.uint16)
    return hashlib.sha256(np.ascontiguousarray(np.array(array)).tobytes()).hexdigest()[:32]


cases = []
for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        for dtype, kind in DTYPES.items():
            seed = len(cases)
            words, scales, biases = mx.quantize(mx.array(numbers(seed)).astype(kind), group_size=group, bits=bits, stream=mx.cpu)
            cases.append({"seed": seed, "bits": bits, "group": group, "dtype": dtype, "words": digest(words), "scales": digest(scales), "biases": digest(biases)})
record = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
(Path(__file__).parent / "mlx-arrays" / "quantise.json").write_text(record)


# Whole checkpoints in the form of transformers, and what mlx-lm's convert makes of them: digests per tensor, in mlx-arrays/convert.json.
import tempfile

from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model

H, I, V, E = 64, 128, 128, 3
BASE = {"hidden_size": H, "num_hidden_layers": 1, "intermediate_size": I, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": V,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 256, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
L = "model.layers.0"
ATTENTION = [(f"{L}.self_attn.q_proj.weight", [H, H]), (f"{L}.self_attn.k_proj.weight", [32, H]), (f"{L}.self_attn.v_proj.weight", [32, H]), (f"{L}.self_attn.o_proj.weight", [H, H])]
OUTER = [("model.embed_tokens.weight", [V, H]), ("model.norm.weight", [H]), ("lm_head.weight", [V, H]), (f"{L}.input_layernorm.weight", [H]), (f"{L}.post_attention_layernorm.weight", [H])]
MLP = [(f"{L}.mlp.gate_proj.weight", [I, H]), (f"{L}.mlp.up_proj.weight", [I, H]), (f"{L}.mlp.down_proj.weight", [H, I])]
MODELS = {
    "llama": (BASE | {"model_type": "llama"}, OUTER + ATTENTION + MLP),
    # A row of 96 is no whole number of groups of 64.
    "llama-odd": (BASE | {"model_type": "llama", "intermediate_size": 96, "tie_word_embeddings": True},
                  [t for t in OUTER if t[0] != "lm_head.weight"] + ATTENTION + [(n, [96 if d == I else d for d in s]) for n, s in MLP]),
    "granite": (BASE | {"model_type": "granite", "logits_scaling": 1.0, "attention_multiplier": 0.2, "embedding_multiplier": 1.0, "residual_multiplier": 1.0,
                        "attention_bias": False, "mlp_bias": False}, OUTER + ATTENTION + MLP),
    "mixtral": (BASE | {"model_type": "mixtral", "num_local_experts": E, "num_experts_per_tok": 2},
                OUTER + ATTENTION + [(f"{L}.block_sparse_moe.gate.weight", [E, H])]
                + [(f"{L}.block_sparse_moe.experts.{e}.{w}.weight", [H, I] if w == "w2" else [I, H]) for e in range(E) for w in ("w1", "w2", "w3")]),
    "qwen3_moe": (BASE | {"model_type": "qwen3_moe", "num_experts": E, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [], "moe_intermediate_size": I, "norm_topk_prob": True},
                  OUTER + ATTENTION + [(f"{L}.mlp.gate.weight", [E, H]), (f"{L}.self_attn.q_norm.weight", [32]), (f"{L}.self_attn.k_norm.weight", [32])]
                  + [(f"{L}.mlp.experts.{e}.{w}_proj.weight", [H, I] if w == "down" else [I, H]) for e in range(E) for w in ("gate", "up", "down")]),
    "granitemoe": (BASE | {"model_type": "granitemoe", "num_local_experts": E, "num_experts_per_tok": 2, "logits_scaling": 1.0, "attention_multiplier": 0.2,
                           "embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_bias": False},
                   OUTER + ATTENTION + [(f"{L}.block_sparse_moe.router.layer.weight", [E, H]), (f"{L}.block_sparse_moe.input_linear.weight", [E, 2 * I, H]),
                                        (f"{L}.block_sparse_moe.output_linear.weight", [E, H, I])]),
}


def bf16(seed, shape):
    count = int(np.prod(shape))
    index = np.arange(count, dtype=np.uint32) + np.uint32(seed * 1_000_003)
    values = ((mixed(index) & np.uint32(0xFFFF)).astype(np.float32) - 32_768) * np.float32(2.0**-19)
    return mx.array(values.reshape(shape)).astype(mx.bfloat16)


record = {}
for name, (config, tensors) in MODELS.items():
    for bits in (None, 4, 8):
        if bits == 8 and name != "granite":
            continue
        with tempfile.TemporaryDirectory() as folder:
            mx.save_safetensors(f"{folder}/model.safetensors", {tensor: bf16(seed, shape) for seed, (tensor, shape) in enumerate(tensors)}, {"format": "pt"})
            (Path(folder) / "config.json").write_text(json.dumps(config))
            model, loaded = load_model(Path(folder), lazy=True)
            if bits:
                with mx.stream(mx.cpu):
                    model, loaded = quantize_model(model, loaded, 64, bits)
            result = {path: [list(array.shape), digest(array)] for path, array in tree_flatten(model.parameters())}
            record[f"{name}-{bits or 'plain'}"] = {"config": config, "bits": bits, "tensors": tensors, "quantization": loaded.get("quantization"), "result": result}
(Path(__file__).parent / "mlx-arrays" / "convert.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


# What the models' own rules make of the names and shapes of transformers, without a whole checkpoint: in mlx-arrays/forms.json.
from mlx_lm.utils import _get_classes

GOLDENS = Path(__file__).parent / "goldens"


def one_by_one(at, count, parts=("gate", "up", "down")):
    return [(f"{at}.experts.{e}.{part}_proj.weight", [8, 6]) for e in range(count) for part in parts]


NORMS = [("model.layers.1.input_layernorm.weight", [6]), ("model.layers.1.self_attn.q_norm.weight", [4]), ("model.layers.0.linear_attn.norm.weight", [4])]
FORMS = {
    "qwen3-next-bf16": [*NORMS, ("model.norm.weight", [6]), ("model.layers.0.linear_attn.conv1d.weight", [10, 1, 4]), ("mtp.fc.weight", [4, 4]), ("model.layers.0.mlp.gate.weight", [4, 6]),
                        *one_by_one("model.layers.0.mlp", 4), ("model.layers.0.mlp.shared_expert.up_proj.weight", [8, 6]), ("model.layers.0.linear_attn.A_log", [3])],
    "qwen3-5-q4-g64": [(name.replace("model.", "model.language_model.", 1), shape) for name, shape in NORMS]
                      + [("model.language_model.norm.weight", [6]), ("model.language_model.layers.0.linear_attn.conv1d.weight", [10, 1, 4]), ("model.visual.blocks.0.norm1.weight", [6]),
                         ("lm_head.weight", [7, 6]), ("mtp.norm.weight", [6]), ("model.language_model.embed_tokens.weight", [7, 6])],
    "qwen3-5-moe-bf16": [("model.language_model.layers.0.mlp.experts.gate_up_proj", [4, 10, 6]), ("model.language_model.layers.0.mlp.experts.down_proj", [4, 6, 5]),
                         ("model.language_model.layers.0.mlp.gate.weight", [4, 6]), ("model.language_model.layers.0.input_layernorm.weight", [6]),
                         ("model.language_model.layers.0.linear_attn.conv1d.weight", [10, 1, 4])],
    "nemotron-h-moe-q4-g32": [("backbone.layers.0.mixer.conv1d.weight", [10, 1, 4]), ("mtp.layers.0.norm.weight", [6]), ("backbone.layers.1.norm.weight", [6]),
                              *one_by_one("backbone.layers.1.mixer", 5, ("up", "down")), ("backbone.layers.1.mixer.gate.weight", [5, 6])],
    "mamba2-bf16": [("backbone.layers.0.mixer.conv1d.weight", [10, 1, 4]), ("backbone.layers.0.mixer.conv1d.bias", [10])],
    "granitemoehybrid-bf16": [("model.layers.0.mamba.conv1d.weight", [10, 1, 4]), ("model.layers.0.block_sparse_moe.input_linear.weight", [4, 10, 6]),
                              ("model.layers.0.block_sparse_moe.output_linear.weight", [4, 6, 5]), ("model.layers.0.shared_mlp.input_linear.weight", [12, 6]),
                              ("model.layers.0.shared_mlp.output_linear.weight", [6, 6]), ("model.layers.1.block_sparse_moe.input_linear.weight", [4, 10, 6]),
                              ("model.layers.1.block_sparse_moe.output_linear.weight", [4, 6, 5])],
    "granitemoehybrid-dense-q4-g32": [(f"model.layers.{i}.shared_mlp.{name}_linear.weight", shape) for i in range(3) for name, shape in (("input", [12, 6]), ("output", [6, 6]))],
    "deepseek-v3-bf16": [("model.layers.0.self_attn.kv_b_proj.weight", [3 * (16 + 24), 32]), ("model.layers.1.mlp.gate.weight", [6, 8]), *one_by_one("model.layers.1.mlp", 6),
                         ("model.layers.0.self_attn.rotary_emb.inv_freq", [4])],
    "lfm2-bf16": [("model.layers.0.conv.conv.weight", [12, 1, 3]), ("model.layers.0.conv.in_proj.weight", [12, 6])],
    "lfm2-moe-bf16": [("model.layers.0.conv.conv.weight", [12, 1, 3]), ("model.layers.0.feed_forward.w1.weight", [8, 6]), ("model.layers.1.feed_forward.gate.weight", [5, 6]),
                      ("model.layers.1.feed_forward.expert_bias", [5]),
                      *[(f"model.layers.1.feed_forward.experts.{e}.w{part}.weight", [8, 6]) for e in range(5) for part in (1, 2, 3)]],
    "olmoe-q4-g32": [*one_by_one("model.layers.0.mlp", 5), *one_by_one("model.layers.1.mlp", 5), ("model.layers.1.mlp.gate.weight", [5, 6])],
    "ernie4-5-moe-q4-g64": [*one_by_one("model.layers.1.mlp", 4), ("model.layers.1.mlp.moe_statics.e_score_correction_bias", [1, 4]), ("model.mtp_block.0.norm.weight", [6]),
                            ("model.layers.1.mlp.gate.weight", [4, 6])],
}
forms = {}
for name, tensors in FORMS.items():
    config = json.loads((GOLDENS / name / "config.json").read_text())
    plain = {key: value for key, value in config.items() if not key.startswith("quantization")}
    if "text_config" in plain:
        plain["text_config"] = {key: value for key, value in plain["text_config"].items() if not key.startswith("quantization")}
    Model, Arguments = _get_classes(config)
    made = Model(Arguments.from_dict(config)).sanitize({tensor: bf16(seed, shape) for seed, (tensor, shape) in enumerate(tensors)})
    result = {path: [list(array.shape), digest(mx.contiguous(array))] for path, array in made.items()}
    forms[name] = {"config": plain, "bits": None, "tensors": tensors, "quantization": None, "result": result}
(Path(__file__).parent / "mlx-arrays" / "forms.json").write_text(json.dumps(forms, indent=1, sort_keys=True) + "\n")
