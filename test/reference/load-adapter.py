"""Loads an adapter with mlx-lm and prints its parameters: {name: [*shape, sum]}.

Usage: load-adapter.py MODEL_DIRECTORY ADAPTER_DIRECTORY
"""

import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import load_model

mx.set_default_device(mx.cpu)
model, _ = load_model(Path(sys.argv[1]))
load_adapters(model, sys.argv[2])
leaves = {"lora_a", "lora_b", "m"}
found = {
    name: [*value.shape, value.astype(mx.float32).sum().item()]
    for name, value in tree_flatten(model.parameters())
    if name.rsplit(".", 1)[-1] in leaves
}
print(json.dumps(found))
