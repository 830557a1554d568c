"""Opening a checkpoint, the first token of it, and log probabilities of given tokens."""

import base64
import resource
import sys
import time
from pathlib import Path

import mlx.core as mx
import numpy
from mlx.utils import tree_flatten

PIECE = 64 * 1024 * 1024
SCORE_CHUNK = 256


class Model:
    def __init__(self, directory, progress):
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import load_model

        began = time.perf_counter()
        # No code of the model is ever run; its weights are read when they are evaluated.
        self.network, self.config = load_model(Path(directory), lazy=True, trust_remote_code=False)
        leaves = [value for _, value in tree_flatten(self.network.parameters())]
        total = sum(value.nbytes for value in leaves)
        done = 0
        pieces = []
        progress(0, total)
        for value in leaves:
            pieces.append(value)
            if sum(each.nbytes for each in pieces) >= PIECE:
                mx.eval(pieces)
                done += sum(each.nbytes for each in pieces)
                pieces = []
                progress(done, total)
        mx.eval(pieces)
        progress(total, total)
        self.weights_bytes = total
        caches = make_prompt_cache(self.network)
        unable = sorted({type(cache).__name__ for cache in caches if not hasattr(cache, "merge")})
        if unable:
            raise ValueError(f"the cache of this architecture ({', '.join(unable)}) cannot be batched by this version of mlx-lm")
        # Only a model that gave a token is ready.
        row = self.network(mx.array([[0]]), cache=caches)[0, -1].astype(mx.float32)
        mx.eval(row)
        if not bool(mx.all(mx.isfinite(row)).item()):
            raise ValueError("the first token's logits are not finite")
        self.vocabulary = row.shape[-1]
        # A cache grows by 256 cells at a time.
        self.bytes_per_token = max(1, sum(cache.nbytes for cache in caches) // 256)
        text = self.config.get("text_config") or {}
        known = self.config.get("max_position_embeddings") or text.get("max_position_embeddings")
        self.context_tokens = known if isinstance(known, int) and known > 0 else 1 << 24
        self.load_ms = (time.perf_counter() - began) * 1000
        mx.clear_cache()

    def score(self, tokens):
        """log p(token i + 1 | tokens 0 ... i), as float32 bytes in base64."""
        from mlx_lm.models.cache import make_prompt_cache

        cache = make_prompt_cache(self.network)
        parts = []
        for at in range(0, len(tokens) - 1, SCORE_CHUNK):
            chunk = tokens[at : min(at + SCORE_CHUNK, len(tokens) - 1)]
            logits = self.network(mx.array([chunk]), cache=cache)[0].astype(mx.float32)
            own = mx.array(tokens[at + 1 : at + 1 + len(chunk)])[:, None]
            values = mx.take_along_axis(logits, own, axis=-1)[:, 0] - mx.logsumexp(logits, axis=-1)
            mx.eval(values, [each.state for each in cache])
            parts.append(numpy.array(values, dtype="<f4").tobytes())
        return base64.b64encode(b"".join(parts)).decode()


def resident_bytes():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
