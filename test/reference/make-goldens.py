"""Makes the tiny checkpoints and expected outputs under goldens/. See README.md.

usage: make-goldens.py [name ...]      (no name: all of them)
"""

import json
import math
import shutil
import sys
import zlib
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes, load_model, quantize_model, save_config, save_model

ROOT = Path(__file__).parent / "goldens"
GREEDY_TOKENS = 64
# Top-two distance of every greedy step, as a part of the range of all logits.
WANTED_MARGIN = 0.03
DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


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


LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
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
}


def random_parameters(model):
    """Large enough that attention is far from uniform."""
    parameters = []
    for name, value in tree_flatten(model.parameters()):
        noise = mx.random.normal(value.shape)
        if name.endswith("norm.weight"):
            value = 1 + 0.2 * noise
        elif name.endswith(".bias"):
            value = 0.3 * noise
        elif name in ("model.embed_tokens.weight", "lm_head.weight"):
            value = 0.1 * noise
        else:
            gain = 1.8 if "q_proj" in name or "k_proj" in name else 1.3
            value = noise * (gain / math.sqrt(value.shape[-1]))
        parameters.append((name, value))
    model.update(tree_unflatten(parameters))


def learn(model, tokens, rounded):
    """
    Teaches the model one random sequence, so that the best token of each step stands out: rounding must not decide the greedy text.
    `rounded` maps the name of each weight that will be quantised to its parameters; the lesson is given with the rounded weights.
    """

    def round_weight(name, value):
        if name not in rounded:
            return value
        fixed = mx.stop_gradient(value)
        return value + mx.stop_gradient(mx.dequantize(*mx.quantize(fixed, **rounded[name]), **rounded[name], dtype=mx.float32) - fixed)

    def loss(parameters):
        model.update(tree_unflatten([(name, round_weight(name, value)) for name, value in tree_flatten(parameters)]))
        return nn.losses.cross_entropy(model(tokens[None, :-1])[0], tokens[1:], reduction="mean")

    parameters = model.trainable_parameters()
    step = mx.value_and_grad(loss)
    optimizer = optim.Adam(learning_rate=2e-3)
    for _ in range(400 if rounded else 150):
        value, gradients = step(parameters)
        parameters = optimizer.apply_gradients(gradients, parameters)
        mx.eval(parameters, value)
    model.update(parameters)


def quantised_weights(model, quantisation):
    """Name of weight → parameters of mx.quantize, by the rules of quantize_model."""
    if not quantisation:
        return {}
    default = {key: quantisation[key] for key in ("group_size", "bits", "mode") if key in quantisation}
    predicate = quantisation.get("quant_predicate", lambda path, module: True)
    found = {}
    for path, module in model.named_modules():
        if hasattr(module, "to_quantized") and (choice := predicate(path, module)):
            found[f"{path}.weight"] = choice if isinstance(choice, dict) else default
    return found


def write_checkpoint(folder, config, dtype, quantisation, tokens):
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    random_parameters(model)
    learn(model, tokens, quantised_weights(model, quantisation))
    model.set_dtype(DTYPES[dtype])
    config = config | {"torch_dtype": {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[dtype]}
    if quantisation:
        predicate = quantisation.get("quant_predicate")
        model, config = quantize_model(model, config, **quantisation)
        if predicate is mixed_4_8:
            # Some tools record what they left plain.
            config["quantization"]["model.layers.1.mlp.gate_proj"] = False
    mx.eval(model.parameters())
    save_model(folder, model)
    save_config(config, config_path=folder / "config.json")


def continue_greedily(model, prompt):
    """Tokens by argmax with a cache, one at a time."""
    cache = make_prompt_cache(model)
    tokens, current = [], prompt
    while len(tokens) < GREEDY_TOKENS:
        tokens.append(mx.argmax(model(mx.array([current]), cache=cache)[0, -1]).item())
        current = tokens[-1:]
    return tokens


def make(name):
    config, dtype, quantisation = MODELS[name]
    folder = ROOT / name
    for attempt in range(8):
        seed = zlib.crc32(name.encode()) + attempt
        length = 12 + seed % 13
        mx.random.seed(seed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lesson = mx.random.randint(0, config["vocab_size"], (length + GREEDY_TOKENS,))
        write_checkpoint(folder, config, dtype, quantisation, lesson)
        model, _ = load_model(folder)
        # The numbers of the checkpoint, with float32 arithmetic around them.
        model.set_dtype(mx.float32)
        prompt = lesson[:length].tolist()
        greedy = continue_greedily(model, prompt)
        # One pass without a cache, over the prompt and its continuation.
        logits = model(mx.array([prompt + greedy[:-1]]))[0]
        assert logits.dtype == mx.float32
        span = (mx.max(logits) - mx.min(logits)).item()
        best = mx.sort(logits[length - 1 :], axis=-1)[:, -2:]
        margin = mx.min(best[:, 1] - best[:, 0]).item() / span
        kinds = len(set(greedy))
        print(f"{name}: seed {seed}, margin {margin:.4f}, {kinds} different tokens, logits span {span:.2f}", flush=True)
        # A continuation of few tokens would hide faults.
        if margin >= WANTED_MARGIN and kinds >= 20:
            break
    else:
        raise SystemExit(f"{name}: no seed gives a margin of {WANTED_MARGIN}")
    assert mx.argmax(logits[length - 1 :], axis=-1).tolist() == greedy
    # Not a safetensors file: one that the index does not name must not lie beside the weights.
    (folder / "expected-logits.bin").write_bytes(bytes(memoryview(mx.contiguous(logits[:length]))))
    expected = {
        "source": f"mlx {version('mlx')}, mlx-lm {version('mlx-lm')}, CPU, float32 activations",
        "seed": seed,
        "prompt": prompt,
        "greedy": greedy,
        "margin": round(margin, 5),
        "span": round(span, 4),
    }
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


for chosen in sys.argv[1:] or MODELS:
    make(chosen)
