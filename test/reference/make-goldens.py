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
from mlx.utils import tree_flatten, tree_map_with_path, tree_unflatten
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes, load_model, quantize_model, save_config, save_model

from golden_models import MODELS, mixed_4_8
from routing import Routing

ROOT = Path(__file__).parent / "goldens"
GREEDY_TOKENS = 64
# Top-two distance of every greedy step, as a part of the range of all logits.
WANTED_MARGIN = 0.03
# Distance of the last chosen expert's score and the best of the others.
WANTED_ROUTING = 0.1
DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


def gain_of(model_type, name):
    if "q_proj" in name or "k_proj" in name or "qkv_proj" in name:
        return 1.8
    # The limit of this family's activation is 7.
    return 4 if model_type == "gpt_oss" and (".gate_proj" in name or ".up_proj" in name) else 1.3


def random_parameters(model):
    """Large enough that attention is far from uniform."""
    parameters = []
    for name, value in tree_flatten(model.parameters()):
        noise = mx.random.normal(value.shape)
        if name.endswith(("norm.weight", "norm_f.weight")):
            # Gemma adds 1 to the weights of its norms.
            value = (0 if "gemma" in model.model_type else 1) + 0.2 * noise
        elif name.endswith(("A_log", "dt_bias", ".D")):
            value = value + 0.2 * noise
        elif name.endswith("bias"):
            value = 0.3 * noise
        elif name.endswith(("embed_tokens.weight", "embeddings.weight", "lm_head.weight")):
            value = 0.1 * noise
        elif value.ndim == 1:
            value = noise
        else:
            gain = gain_of(model.model_type, name)
            value = noise * (gain / math.sqrt(value.shape[-1]))
        parameters.append((name, value))
    model.update(tree_unflatten(parameters))


def learn(model, tokens, rounded, routing):
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
        routing.clear()
        logits = model(tokens[None, :-1])[0]
        return nn.losses.cross_entropy(logits, tokens[1:], reduction="mean") + routing.nearness(4 * WANTED_ROUTING)

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
    predicate = quantisation.get("quant_predicate") or getattr(model, "quant_predicate", None) or (lambda path, module: True)
    found = {}
    for path, module in model.named_modules():
        if not hasattr(module, "to_quantized") or module.weight.shape[-1] % default["group_size"]:
            continue
        if choice := predicate(path, module):
            found[f"{path}.weight"] = choice if isinstance(choice, dict) else default
    return found


def tie(model):
    """The models that tie their output where the checkpoint has none of its own, tied."""
    text = getattr(model, "language_model", model)
    if getattr(text, "tie_word_embeddings", None) is False and "lm_head" in text:
        text.pop("lm_head")
        text.tie_word_embeddings = True


def write_checkpoint(folder, config, dtype, quantisation, tokens):
    model_class, args_class = _get_classes(config)
    model = model_class(args_class.from_dict(config))
    tie(model)
    random_parameters(model)
    learn(model, tokens, quantised_weights(model, quantisation), Routing(model, config))
    cast = getattr(model, "cast_predicate", lambda name: True)
    model.update(tree_map_with_path(lambda name, value: value.astype(DTYPES[dtype]) if cast(name) else value, model.parameters()))
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
    vocabulary = config["vocab_size"] if "vocab_size" in config else config["text_config"]["vocab_size"]
    for attempt in range(8):
        seed = zlib.crc32(name.encode()) + attempt
        length = 12 + seed % 13
        mx.random.seed(seed)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        lesson = mx.random.randint(0, vocabulary, (length + GREEDY_TOKENS,))
        write_checkpoint(folder, config, dtype, quantisation, lesson)
        model, _ = load_model(folder)
        # The numbers of the checkpoint, with float32 arithmetic around them.
        model.set_dtype(mx.float32)
        prompt = lesson[:length].tolist()
        greedy = continue_greedily(model, prompt)
        # One pass without a cache, over the prompt and its continuation.
        routing = Routing(model, config)
        logits = model(mx.array([prompt + greedy[:-1]]))[0]
        assert logits.dtype == mx.float32
        span = (mx.max(logits) - mx.min(logits)).item()
        best = mx.sort(logits[length - 1 :], axis=-1)[:, -2:]
        margin = mx.min(best[:, 1] - best[:, 0]).item() / span
        kinds = len(set(greedy))
        gap = routing.gap()
        print(f"{name}: seed {seed}, margin {margin:.4f}, routing {gap:.3f}, {kinds} different tokens, logits span {span:.2f}", flush=True)
        # A continuation of few tokens would hide faults.
        if margin >= WANTED_MARGIN and gap >= WANTED_ROUTING and kinds >= 20:
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
    if routing.routers:
        expected["routing"] = round(gap, 5)
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")


for chosen in sys.argv[1:] or MODELS:
    make(chosen)
