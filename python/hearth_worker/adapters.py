"""Low-rank adapters beside the base: one of them, or none, is in force while a group of sequences takes its step.

Names, shapes and numbers were checked by hearth's own parser before a path comes here (docs/spec/agents-training.md §6.1).
"""

import json
import os
import time

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten


class Refusal(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Swapped(nn.Module):
    """A layer of the base with its variants. Attributes that it lacks are the base's."""

    def __init__(self, base, state):
        super().__init__()
        self.base = base
        object.__setattr__(self, "variants", {})
        object.__setattr__(self, "force", state)

    def __getattr__(self, key):
        if key in self:
            return self[key]
        if "base" not in self:
            raise AttributeError(key)
        return getattr(self["base"], key)

    def _layer(self):
        serial, scale = self.force.current
        layer, own_scale = self.variants.get(serial, (self["base"], None))
        if own_scale is not None:
            layer.scale = own_scale * scale
        return layer

    def __call__(self, *args, **kwargs):
        return self._layer()(*args, **kwargs)

    def as_linear(self, x):
        return self._layer().as_linear(x)


class Adapters:
    def __init__(self, network, directory, most):
        self.network = network
        self.directory = directory
        self.most = most
        # Serial of the adapter whose layers are in force, and its scale.
        self.current = (None, 1.0)
        self.held = {}
        self.serials = 0

    @property
    def nbytes(self):
        return sum(each["report"]["memoryBytes"] for each in self.held.values())

    def reports(self):
        return [each["report"] for each in self.held.values()]

    def use(self, wish):
        held = self.held.get(wish["name"])
        if held is None:
            there = ", ".join(self.held)
            raise Refusal("adapter_not_found", f"No adapter named {wish['name']} is loaded{'; loaded are ' + there if there else ''}.")
        return held["serial"], float(wish["scale"])

    def load(self, name, directory):
        from mlx_lm.tuner.dora import DoRAEmbedding, DoRALinear
        from mlx_lm.tuner.lora import LoRAEmbedding, LoRALinear, LoRASwitchLinear
        from mlx_lm.models.switch_layers import QuantizedSwitchLinear, SwitchLinear

        if len(self.held) >= self.most:
            raise Refusal("adapter_limit", f"{self.most} adapters are loaded, which is the most: {', '.join(self.held)}. Unload one of them first.")
        began = time.perf_counter()
        with open(os.path.join(directory, "adapter_config.json")) as file:
            config = json.load(file)
        if "lora_parameters" not in config:
            raise Refusal("adapter_kind_unsupported", "mlx takes adapters in the layout of mlx-lm; export this one with --format mlx.")
        path = os.path.join(directory, "adapters.safetensors")
        tensors = mx.load(path)
        if config.get("fine_tune_type") == "full":
            raise Refusal("adapter_kind_unsupported", "A full fine-tune is a model, not an adapter; fuse it.")
        scale = float(config["lora_parameters"]["scale"])
        modules = {}
        for key, value in tensors.items():
            module, _, part = key.rpartition(".")
            modules.setdefault(module, {})[part] = value
        layers = dict(self.network.named_modules())
        serial = self.serials
        made = {}
        for path_of, parts in modules.items():
            base = layers.get(path_of)
            if base is None:
                raise Refusal("adapter_tensor_unknown", f"The model has no layer {path_of}.")
            base = base["base"] if isinstance(base, Swapped) else base
            dora = "m" in parts
            if isinstance(base, (SwitchLinear, QuantizedSwitchLinear)):
                kind = LoRASwitchLinear
            elif isinstance(base, (nn.Embedding, nn.QuantizedEmbedding)):
                kind = DoRAEmbedding if dora else LoRAEmbedding
            elif isinstance(base, (nn.Linear, nn.QuantizedLinear)):
                kind = DoRALinear if dora else LoRALinear
            else:
                raise Refusal("adapter_kind_unsupported", f"mlx cannot adapt {path_of}, which is a {type(base).__name__}.")
            if dora and kind is LoRASwitchLinear:
                raise Refusal("adapter_kind_unsupported", f"mlx has no DoRA for the experts of {path_of}.")
            layer = kind.from_base(base, r=rank_of(kind.__name__, parts), dropout=0.0, scale=scale)
            for part in ("lora_a", "lora_b", "m"):
                if part in parts:
                    # In the type of the scores that they are added to, as mlx-lm leaves them.
                    layer[part] = parts[part]
            layer.eval()
            made[path_of] = (layer, scale)
        mx.eval([value for parts in modules.values() for value in parts.values()])
        for path_of, variant in made.items():
            layer = layers[path_of]
            if not isinstance(layer, Swapped):
                layer = Swapped(layer, self)
                self.network.update_modules(tree_unflatten([(path_of, layer)]))
            layer.variants[serial] = variant
        self.serials += 1
        report = {
            "name": name,
            "kind": "dora" if any("m" in parts for parts in modules.values()) else "lora",
            "rank": max(rank_of("", parts) for parts in modules.values()),
            "modules": len(modules),
            "fileBytes": os.path.getsize(path),
            "memoryBytes": sum(value.nbytes for value in tensors.values()),
            "loadMs": (time.perf_counter() - began) * 1000,
        }
        self.held[name] = {"serial": serial, "report": report}
        return report

    def hide(self, name):
        """New requests no longer find it."""
        serial, _ = self.use({"name": name, "scale": 1})
        del self.held[name]
        return serial

    def free(self, serial):
        for _, layer in self.network.named_modules():
            if isinstance(layer, Swapped):
                layer.variants.pop(serial, None)
        mx.clear_cache()


def rank_of(kind, parts):
    b, a = parts["lora_b"], parts["lora_a"]
    # Experts: a (experts, rank, in), b (experts, out, rank); the rest: a (in, rank), b (rank, out).
    return a.shape[1] if a.ndim == 3 or b.ndim == 2 else b.shape[0]
