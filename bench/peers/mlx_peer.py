"""mlx-lm on the CPU as a peer and as the reference: one JSON command per line on stdin, one JSON answer per line on stdout.

{"prefill": n}                       -> {"seconds": s}
{"decode": n}                        -> {"seconds": s}
{"logits": [ids], "file": path}      -> {"rows": r}   float32 logits of every position, computed in float32 on the checkpoint's own numbers
Argument: directory of an MLX checkpoint.
"""

import json
import sys
import time
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model

mx.set_default_device(mx.cpu)
directory = Path(sys.argv[1])
model, config = load_model(directory)
np.random.seed(7)


def ids(n):
    return mx.array(np.random.randint(100, 20000, n))[None]


def plain_float32(module):
    """Replaces quantised layers by float32 ones with the same numbers, so that only the arithmetic of the graph remains."""
    leaves = []
    for name, child in module.named_modules():
        if isinstance(child, (nn.QuantizedLinear, nn.QuantizedEmbedding)):
            weight = mx.dequantize(child.weight, child.scales.astype(mx.float32), child.biases.astype(mx.float32), child.group_size, child.bits)
            if isinstance(child, nn.QuantizedEmbedding):
                layer = nn.Embedding(weight.shape[0], weight.shape[1])
            else:
                layer = nn.Linear(weight.shape[1], weight.shape[0], bias="bias" in child)
                if "bias" in child:
                    layer.bias = child.bias
            layer.weight = weight
            leaves.append((name, layer))
    for name, layer in leaves:
        *path, last = name.split(".")
        parent = module
        for part in path:
            parent = parent[int(part)] if part.isdigit() else getattr(parent, part)
        setattr(parent, last, layer)
    module.update(tree_map(lambda a: a.astype(mx.float32) if a.dtype in (mx.float16, mx.bfloat16) else a, module.parameters()))


float32 = False


def run(command):
    global float32
    if "logits" in command:
        if not float32:
            plain_float32(model)
            float32 = True
        logits = model(mx.array(command["logits"])[None])[0].astype(mx.float32)
        mx.eval(logits)
        np.array(logits).tofile(command["file"])
        return {"rows": logits.shape[0]}
    cache = make_prompt_cache(model)
    if "prefill" in command:
        prompt = ids(command["prefill"])
        start = time.perf_counter()
        mx.eval(model(prompt, cache=cache)[:, -1])
        return {"seconds": time.perf_counter() - start}
    token = mx.argmax(model(ids(4), cache=cache)[:, -1], axis=-1)
    mx.eval(token)
    start = time.perf_counter()
    for _ in range(command["decode"]):
        token = mx.argmax(model(token[None], cache=cache)[:, -1], axis=-1)
        mx.eval(token)
    return {"seconds": time.perf_counter() - start}


print(json.dumps({"ready": mx.__version__}), flush=True)
for line in sys.stdin:
    try:
        reply = run(json.loads(line))
    except Exception as error:
        reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
