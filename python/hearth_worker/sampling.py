"""One answer on its way: what is done to its logits, and how its tokens are drawn.

The rules are those of hearth's own sampler (src/engines/text/sampler.ts): penalties and bias, top-k, top-p, min-p, XTC, temperature, draw.
"""

from collections import deque

import mlx.core as mx

BANNED = -1e9
MASK = (1 << 64) - 1


def mix(value):
    """splitmix64: spreads a seed over all 64 bits."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


class Answer:
    """One choice of a request. It is the sampler and the logits processor of its sequence in the batch."""

    def __init__(self, request, choice, ask=None):
        self.request = request
        self.choice = choice
        self.tokens = []
        self.uid = None
        self.sampling = request["sampling"]
        self.stream = mix(mix(int(request["seed"]) & MASK) ^ choice)
        self.logprobs = request.get("logprobs")
        self.drawn = 0
        self.scores = deque()
        self.raw = None
        self.ask = ask if request.get("guided") else None
        bias = self.sampling.get("logitBias") or {}
        self.bias = None
        if bias:
            values = [BANNED if value <= -100 else value for value in bias.values()]
            self.bias = (mx.array([int(id) for id in bias]), mx.array(values, dtype=mx.float32))

    def resume(self):
        """It was paused: what was drawn ahead and not told is drawn again."""
        self.drawn = len(self.tokens)
        self.scores.clear()

    def process(self, context, logits):
        """Raw logits (1, vocabulary) to adjusted ones in float32. `context`: prompt and answer so far."""
        logits = logits.astype(mx.float32)
        if self.logprobs is not None:
            self.raw = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
            logits = mx.array(logits)
        options = self.sampling
        prompt = len(self.request["tokens"])
        answer = context[prompt:]
        if options["repetitionPenalty"] != 1 and options["repetitionContextSize"] > 0 and context.size > 0:
            seen = context[-options["repetitionContextSize"] :]
            values = logits[:, seen]
            penalty = options["repetitionPenalty"]
            logits[:, seen] = mx.where(values > 0, values / penalty, values * penalty)
        if (options["presencePenalty"] != 0 or options["frequencyPenalty"] != 0) and answer.size > 0:
            counts = mx.zeros(logits.shape[-1]).at[answer].add(1.0)
            logits = logits - options["frequencyPenalty"] * counts - options["presencePenalty"] * (counts > 0)
        if self.bias is not None:
            ids, values = self.bias
            logits[:, ids] = logits[:, ids] + values
        if self.ask is not None:
            allowed = self.ask(self, None if answer.size == 0 else int(answer[-1].item()), logits.shape[-1])
            if allowed is not None:
                logits = mx.where(allowed, logits, -mx.inf)
        return logits

    def sample(self, logits):
        """The next token (1,) from normalised logits (1, vocabulary)."""
        token = self._draw(logits)
        self.drawn += 1
        if self.logprobs is not None:
            row = self.raw[0]
            count = max(1, self.logprobs)
            top = mx.argsort(-row)[:count]
            self.scores.append((row[token], top, row[top]))
        return token

    def score(self):
        """Log probabilities of the oldest token that was drawn and not yet told."""
        if self.logprobs is None:
            return {}
        own, ids, values = self.scores.popleft()
        mx.eval(own, ids, values)
        number = lambda value: max(-9999.0, float(value))  # noqa: E731
        return {"logprob": number(own.item()), "top": [[int(id), number(value)] for id, value in zip(ids.tolist(), values.tolist())]}

    def _draw(self, logits):
        options = self.sampling
        if options["temperature"] <= 0:
            return mx.argmax(logits, axis=-1).astype(mx.uint32)
        top_k, top_p, min_p = options["topK"], options["topP"], options["minP"]
        key = mx.random.key(mix(self.stream + self.drawn))
        if 0 < top_k < logits.shape[-1]:
            least = mx.min(mx.topk(logits, top_k, axis=-1), axis=-1, keepdims=True)
            logits = mx.where(logits < least, -mx.inf, logits)
        if top_p < 1:
            probabilities = mx.softmax(logits, axis=-1)
            order = mx.argsort(-probabilities, axis=-1)
            ordered = mx.take_along_axis(probabilities, order, axis=-1)
            before = mx.cumsum(ordered, axis=-1) - ordered
            inside = mx.put_along_axis(mx.zeros_like(before), order, (before < top_p).astype(mx.float32), axis=-1)
            logits = mx.where(inside > 0, logits, -mx.inf)
        if min_p > 0:
            least = mx.max(logits, axis=-1, keepdims=True) + mx.log(mx.array(min_p))
            logits = mx.where(logits < least, -mx.inf, logits)
        if options["xtcProbability"] > 0:
            key, other = mx.random.split(key)
            probabilities = mx.softmax(logits, axis=-1)
            above = (probabilities >= options["xtcThreshold"]) & (probabilities > 0)
            least = mx.min(mx.where(above, probabilities, mx.inf), axis=-1, keepdims=True)
            cut = mx.where(above & (probabilities > least), -mx.inf, logits)
            logits = mx.where(mx.random.uniform(key=other) < options["xtcProbability"], cut, logits)
        return mx.random.categorical(logits / options["temperature"], axis=-1, key=key).astype(mx.uint32)
