"""Listens to the routers of a mixture of experts."""

import math

import mlx.core as mx

ROUTERS = ("mlp.gate", "block_sparse_moe.gate", "mlp.router", "router.layer", "mixer.gate", "feed_forward.gate")


def distance(scores, chosen):
    """Last chosen score − best refused one."""
    ordered = mx.sort(scores, axis=-1)
    return ordered[..., -chosen] - ordered[..., -chosen - 1]


class Routing:
    """
    Distances of the scores by which a model chooses its experts. A choice jumps where two scores cross, so that rounding could turn it:
    lessons hold the last chosen and the first refused score apart.
    """

    def __init__(self, model, config):
        config = config.get("text_config", config)
        self.chosen = config.get("num_experts_per_tok") or config.get("moe_k") or 0
        self.routers = []
        self.gaps = []
        modules = dict(model.named_modules())
        for path, module in modules.items():
            if self.chosen and path.endswith(ROUTERS) and ("weight" in module or "lora_b" in module):
                self._listen(module, modules[path.rpartition(".")[0]].get("expert_bias"))
                self.routers.append(path)

    def _listen(self, module, correction):
        routing, plain = self, type(module)

        class Heard(plain):
            def __call__(self, x):
                found = super().__call__(x)
                if "e_score_correction_bias" in self:
                    routing._hear_groups(self, x @ self.weight.T)
                elif correction is not None:
                    # A sigmoid is at most a quarter as steep as its input.
                    routing.gaps.append(distance(4 * (mx.sigmoid(found) + correction), routing.chosen))
                else:
                    routing.gaps.append(distance(found, routing.chosen))
                return found

        Heard.__name__ = plain.__name__
        module.__class__ = Heard

    def _hear_groups(self, router, scores):
        # A sigmoid is at most a quarter as steep as its input.
        scores = 4 * (mx.sigmoid(scores) + router.e_score_correction_bias)
        groups = mx.unflatten(scores, -1, (router.n_group, -1))
        if router.n_group > 1:
            sums = mx.sort(groups, axis=-1)[..., -2:].sum(axis=-1)
            self.gaps.append(distance(sums, router.topk_group))
            assert router.topk_group == 1
            best = mx.stop_gradient(mx.argmax(sums, axis=-1))
            groups = mx.take_along_axis(groups, best[..., None, None], axis=-2)
        self.gaps.append(distance(mx.flatten(groups, -2, -1), router.top_k))

    def clear(self):
        self.gaps.clear()

    def nearness(self, wanted):
        """0 where every distance is as wide as wanted."""
        return sum((mx.mean(mx.maximum(wanted - gaps, 0)) for gaps in self.gaps), mx.array(0.0))

    def gap(self):
        """The smallest since the last clear; infinite without routers."""
        return min((mx.min(gaps).item() for gaps in self.gaps), default=math.inf)
