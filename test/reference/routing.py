"""Listens to the routers of a mixture of experts."""

import math

import mlx.core as mx

ROUTERS = ("mlp.gate", "block_sparse_moe.gate", "mlp.router", "router.layer")


class Routing:
    """
    Scores by which a model chooses its experts. A choice jumps where two scores cross, so that rounding could turn it: lessons hold the
    last chosen and the first refused score apart.
    """

    def __init__(self, model, config):
        self.chosen = config.get("num_experts_per_tok", 0)
        self.routers = []
        self.scores = []
        for path, module in model.named_modules():
            if self.chosen and path.endswith(ROUTERS) and ("weight" in module or "lora_b" in module):
                self._listen(module)
                self.routers.append(path)

    def _listen(self, module):
        scores, plain = self.scores, type(module)

        class Heard(plain):
            def __call__(self, x):
                found = super().__call__(x)
                scores.append(found)
                return found

        Heard.__name__ = plain.__name__
        module.__class__ = Heard

    def clear(self):
        self.scores.clear()

    def _gaps(self):
        for scores in self.scores:
            ordered = mx.sort(scores, axis=-1)
            yield ordered[..., -self.chosen] - ordered[..., -self.chosen - 1]

    def nearness(self, wanted):
        """0 where every gap is as wide as wanted."""
        return sum((mx.mean(mx.maximum(wanted - gaps, 0)) for gaps in self._gaps()), mx.array(0.0))

    def gap(self):
        """The smallest since the last clear; infinite without routers."""
        return min((mx.min(gaps).item() for gaps in self._gaps()), default=math.inf)
