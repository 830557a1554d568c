"""Makes the adapters and their expected outputs under adapters/. See README.md.

usage: make-adapters.py [name ...]      (no name: all of them; the goldens that they change must be there)
"""

import json
import math
import re
import shutil
import sys
import types
import zlib
from importlib.metadata import version
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.lora import CONFIG_DEFAULTS
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.tuner.utils import linear_to_lora_layers, load_adapters
from mlx_lm.utils import load_model, save_config

from routing import Routing

HERE = Path(__file__).parent
GREEDY_TOKENS = 16
WANTED_MARGIN = 0.015
WANTED_ROUTING = 0.02
# Largest change of a logit that the adapter makes, as a part of their range.
WANTED_EFFECT = 0.2
ATTENTION = ["self_attn.q_proj", "self_attn.v_proj"]
MLP = ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "self_attn.o_proj"]


def adapter(base, rank, keys=None, layers=-1, kind="lora", scale=8.0, peft=None):
    return types.SimpleNamespace(base=base, rank=rank, keys=keys, layers=layers, kind=kind, scale=scale, peft=peft)


# Without keys: every linear, expert and embedding module of the last layers. peft: options of the twin's config.
ADAPTERS = {
    "llama-q4-attention": adapter("llama-q4-g64", 4, ATTENTION, layers=2, scale=10.0, peft={}),
    "llama-q4-last-layer": adapter("llama-q4-g64", 8, layers=1, scale=20.0, peft={"layers_to_transform": [1]}),
    "llama-q4-mlp": adapter("llama-q4-g64", 4, MLP, scale=3.0, peft={"use_rslora": True}),
    "llama-q4-embeddings": adapter("llama-q4-g64", 8, ["model.embed_tokens", "self_attn.k_proj"]),
    "llama-q4-dora": adapter("llama-q4-g64", 4, [*ATTENTION, "mlp.down_proj"], kind="dora", peft={}),
    "llama-bf16-head": adapter("llama-bf16-rope-llama3", 4, ["lm_head", "self_attn.q_proj", "self_attn.o_proj"], peft={}),
    "llama-bf16-embeddings": adapter("llama-bf16-rope-llama3", 4, ["model.embed_tokens", "mlp.up_proj"]),
    "llama-bf16-dora-embeddings": adapter("llama-bf16-rope-llama3", 4, ["model.embed_tokens", "lm_head"], kind="dora"),
    "llama-biases-dora": adapter("llama-f32-biases", 8, kind="dora", peft={}),
    "phi3-q4-fused-modules": adapter("phi3-q4-g32", 4, ["self_attn.qkv_proj", "mlp.gate_up_proj"], peft={}),
    "qwen3-moe-q4-experts": adapter("qwen3-moe-q4-g32", 4),
}


def random_adapter(model):
    """As after a training: neither factor is 0, and the change is a good part of the weight."""
    filled = []
    for path, module in model.named_modules():
        if "lora_b" not in module:
            continue
        inner = module["linear"] if "linear" in module else module["embedding"]
        plain = inner.weight if "scales" not in inner else mx.dequantize(inner.weight, inner.scales, inner.biases, inner.group_size, inner.bits)
        rank = min(module.lora_b.shape[-2:])
        # lora_a keeps the random values that mlx-lm gives it.
        size = 0.5 * mx.std(plain) / (module.scale * math.sqrt(rank) * mx.std(module.lora_a))
        filled.append((f"{path}.lora_b", size * mx.random.normal(module.lora_b.shape)))
        if "m" in module:
            filled.append((f"{path}.m", module.m * (1 + 0.2 * mx.random.normal(module.m.shape))))
    model.update(tree_unflatten(filled))


def write_mlx(folder, chosen, seed):
    """The two files of a training with mlx-lm."""
    folder.mkdir(parents=True)
    model, _ = load_model(HERE / "goldens" / chosen.base)
    model.set_dtype(mx.float32)
    model.freeze()
    parameters = {"rank": chosen.rank, "dropout": 0.0, "scale": chosen.scale} | ({"keys": chosen.keys} if chosen.keys else {})
    linear_to_lora_layers(model, chosen.layers, dict(parameters), use_dora=chosen.kind == "dora")
    random_adapter(model)
    config = CONFIG_DEFAULTS | {"model": chosen.base, "train": True, "fine_tune_type": chosen.kind, "num_layers": chosen.layers, "seed": seed}
    save_config(config | {"lora_parameters": parameters}, folder / "adapter_config.json")
    weights = dict(tree_flatten(model.trainable_parameters()))
    mx.save_safetensors(str(folder / "adapters.safetensors"), weights)
    return weights


def write_peft(folder, chosen, weights):
    """The same adapter in the other layout: transposed factors, alpha instead of the scale."""
    folder.mkdir()
    renamed = {}
    for name, value in weights.items():
        path, leaf = name.rsplit(".", 1)
        if leaf == "m":
            renamed[f"base_model.model.{path}.lora_magnitude_vector"] = value
        else:
            renamed[f"base_model.model.{path}.lora_{leaf[-1].upper()}.weight"] = mx.contiguous(value.T)
    mx.save_safetensors(str(folder / "adapter_model.safetensors"), renamed, metadata={"format": "pt"})
    root = math.sqrt(chosen.rank) if chosen.peft.get("use_rslora") else chosen.rank
    config = {
        "alpha_pattern": {},
        "auto_mapping": None,
        "base_model_name_or_path": chosen.base,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_pattern": None,
        "layers_to_transform": None,
        "lora_alpha": chosen.scale * root,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": chosen.rank,
        "rank_pattern": {},
        "revision": None,
        "target_modules": sorted({re.sub(r".*\.", "", name.rsplit(".", 1)[0]) for name in weights}),
        "task_type": "CAUSAL_LM",
        "use_dora": chosen.kind == "dora",
        "use_rslora": False,
        **chosen.peft,
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")


def adapted(chosen, folder, scale=1.0):
    model, config = load_model(HERE / "goldens" / chosen.base)
    load_adapters(model, folder)
    model.set_dtype(mx.float32)
    for _, module in model.named_modules():
        if "lora_b" in module:
            module.scale *= scale
    return model, config


def fuse(model):
    model.update_modules(tree_unflatten([(path, module.fuse(dequantize=True)) for path, module in model.named_modules() if hasattr(module, "fuse")]))


def continue_greedily(model, prompt):
    cache, tokens, current = make_prompt_cache(model), [], prompt
    while len(tokens) < GREEDY_TOKENS:
        tokens.append(mx.argmax(model(mx.array([current]), cache=cache)[0, -1]).item())
        current = tokens[-1:]
    return tokens


def span(logits):
    return (mx.max(logits) - mx.min(logits)).item()


def largest(change):
    return mx.max(mx.abs(change)).item()


def write_logits(file, logits):
    assert logits.dtype == mx.float32
    file.write_bytes(bytes(memoryview(mx.contiguous(logits))))


def make(name):
    chosen = ADAPTERS[name]
    folder = HERE / "adapters" / name
    golden = HERE / "goldens" / chosen.base
    prompt = json.loads((golden / "expected.json").read_text())["prompt"]
    plain, _ = load_model(golden)
    plain.set_dtype(mx.float32)
    before = plain(mx.array([prompt]))[0]
    for attempt in range(80):
        seed = zlib.crc32(name.encode()) + attempt
        mx.random.seed(seed)
        shutil.rmtree(folder, ignore_errors=True)
        weights = write_mlx(folder / "mlx", chosen, seed)
        model, config = adapted(chosen, folder / "mlx")
        greedy = continue_greedily(model, prompt)
        routing = Routing(model, config)
        logits = model(mx.array([prompt + greedy[:-1]]))[0]
        best = mx.sort(logits[len(prompt) - 1 :], axis=-1)[:, -2:]
        margin = mx.min(best[:, 1] - best[:, 0]).item() / span(logits)
        logits = logits[: len(prompt)]
        effect = largest(logits - before) / span(before)
        if margin >= WANTED_MARGIN and effect >= WANTED_EFFECT and routing.gap() >= WANTED_ROUTING:
            break
    else:
        raise SystemExit(f"{name}: no seed gives a margin of {WANTED_MARGIN}")
    if chosen.peft is not None:
        write_peft(folder / "peft", chosen, weights)
    write_logits(folder / "expected-logits.bin", logits)
    expected = {
        "source": f"mlx {version('mlx')}, mlx-lm {version('mlx-lm')}, CPU, float32 activations",
        "base": chosen.base,
        "seed": seed,
        "prompt": prompt,
        "greedy": greedy,
        "margin": round(margin, 5),
        "span": round(span(logits), 4),
        "effect": round(effect, 4),
    }
    fuse(model)
    fused = model(mx.array([prompt]))[0]
    write_logits(folder / "fused-logits.bin", fused)
    expected["fusedDistance"] = float(f"{largest(fused - logits) / span(logits):.3g}")
    half, _ = adapted(chosen, folder / "mlx", 0.5)
    write_logits(folder / "half-logits.bin", half(mx.array([prompt]))[0])
    (folder / "expected.json").write_text(json.dumps(expected) + "\n")
    print(f"{name}: attempt {attempt}, margin {margin:.4f}, routing {routing.gap():.3f}, effect {effect:.2f}, fused {expected['fusedDistance']}", flush=True)


for chosen in sys.argv[1:] or ADAPTERS:
    make(chosen)
