"""The step loop: which answers run, in groups that share a step, and what each step gave.

A group is an mlx-lm BatchGenerator: sequences that use the same adapter at the same scale, or none.
"""

import time

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, StopSequences
from mlx_lm.models.cache import LRUPromptCache

# New tokens that an admission reserves room for (docs/spec/serving.md §4 item 2).
RESERVED = 1024
# A shorter common prefix is not worth its copy.
SHORTEST_PREFIX = 16
# A chunk of a prompt is to take no longer, so that cancels and the other sequences get their turn.
CHUNK_SECONDS = 0.25
CHUNK = {"first": 128, "least": 32, "most": 2048}


class Batches:
    def __init__(self, model, adapters, context_tokens, parallel, send):
        self.model = model
        self.adapters = adapters
        self.context_tokens = context_tokens
        self.parallel = parallel
        self.send = send
        self.waiting = []
        # In order of admission; the last is paused first.
        self.running = []
        self.groups = {}
        self.prefixes = LRUPromptCache(max_size=1 << 20)
        self.chunk = CHUNK["first"]
        self.counters = {
            "promptTokensComputed": 0,
            "promptTokensCached": 0,
            "generatedTokens": 0,
            "steps": 0,
            "lastStepMs": 0,
            "lastProgressAtMs": int(time.time() * 1000),
        }
        self.sizes = []

    @property
    def active(self):
        return bool(self.running) or self._next_waiting() is not None

    def add(self, answers):
        self.waiting += answers

    def credit(self, sequence, tokens):
        """The reader took so many."""
        for answer in [*self.running, *self.waiting]:
            if answer.request["sequence"] == sequence:
                answer.request["credit"] += tokens
                return

    def cancel(self, sequence):
        self.waiting = [answer for answer in self.waiting if answer.request["sequence"] != sequence]
        for answer in [answer for answer in self.running if answer.request["sequence"] == sequence]:
            self._leave(answer, keep=False)

    def drop(self, sequence, choice):
        """Its text came to a stop string or the end of a grammar."""
        for answer in [each for each in self.running if each.request["sequence"] == sequence and each.choice == choice]:
            self._leave(answer, keep=True)
        self.waiting = [each for each in self.waiting if (each.request["sequence"], each.choice) != (sequence, choice)]

    def clear(self):
        self.prefixes = LRUPromptCache(max_size=1 << 20)
        mx.clear_cache()

    def uses(self, serial):
        return any(answer.request["group"][0] == serial for answer in [*self.running, *self.waiting])

    def step(self):
        self._admit()
        began = time.perf_counter()
        items = []
        decoding = 0
        for key, group in list(self.groups.items()):
            self.adapters.current = key
            prompts, tokens = group.next(self)
            decoding += len(tokens)
            items += tokens
            self._tell_prompts(prompts)
        self.adapters.current = (None, 1.0)
        for key in [key for key, group in self.groups.items() if not group.answers]:
            self.groups.pop(key).close()
        while len(self.sizes) <= decoding:
            self.sizes.append(0)
        self.sizes[decoding] += 1
        self.counters["steps"] += 1
        self.counters["generatedTokens"] += decoding
        self.counters["lastStepMs"] = (time.perf_counter() - began) * 1000
        self.counters["lastProgressAtMs"] = int(time.time() * 1000)
        if items:
            self.send({"kind": "tokens", "items": items})
        self._let_wait()
        self._make_room()

    def _admit(self):
        while len(self.running) < self.parallel:
            answer = self._next_waiting()
            if answer is None:
                return
            if self.running and self._cells() + self._wanted(answer) > self.context_tokens:
                return
            self.waiting.remove(answer)
            self.running.append(answer)
            request = answer.request
            tokens = [*request["tokens"], *answer.tokens]
            cache, cached = self._prefix(request, tokens)
            key = request["group"]
            if key not in self.groups:
                self.groups[key] = Group(self.model.network, self.parallel)
            self.groups[key].add(answer, tokens[cached:], tokens[:cached], cache)
            self.counters["promptTokensComputed"] += len(request["tokens"]) - min(cached, len(request["tokens"]))
            if not request.get("started"):
                request["started"] = True
                request["cached"] = cached
                self.counters["promptTokensCached"] += cached
                self.send({"kind": "start", "sequence": request["sequence"], "promptTokens": len(request["tokens"]), "cachedTokens": cached})

    def _next_waiting(self):
        return next((answer for answer in self.waiting if answer.request["credit"] > 0), None)

    def _prefix(self, request, tokens):
        salt = request.get("salt")
        if salt is None:
            return None, 0
        cache, rest = self.prefixes.fetch_nearest_cache((salt, request["group"]), tokens[:-1])
        cached = len(tokens) - 1 - len(rest)
        return (cache, cached) if cache is not None and cached >= SHORTEST_PREFIX else (None, 0)

    def _cells(self):
        return sum(len(answer.request["tokens"]) + len(answer.tokens) for answer in self.running)

    def _wanted(self, answer):
        left = answer.request["maxTokens"] - len(answer.tokens)
        return len(answer.request["tokens"]) + len(answer.tokens) + min(left, RESERVED)

    def _let_wait(self):
        """Answers whose readers are behind give way to others. Their prefixes are kept as long as nobody needs the room."""
        for answer in [each for each in self.running if each.request["credit"] <= 0]:
            self._pause(answer, keep=True)

    def _make_room(self):
        """The cells in use are the pool: prefixes go first, then the answer that was admitted last waits for room."""
        cells = self._cells()
        while cells > self.context_tokens and len(self.running) > 1:
            self._pause(self.running[-1], keep=False)
            cells = self._cells()
        self.prefixes.trim_to(n_bytes=max(0, self.context_tokens - cells) * self.model.bytes_per_token)

    def _pause(self, answer, keep):
        self._leave(answer, keep)
        answer.resume()
        self.waiting.insert(0, answer)

    def _leave(self, answer, keep):
        group = self.groups[answer.request["group"]]
        cache, tokens = group.take(answer)
        self.running.remove(answer)
        if keep:
            self._remember(answer, cache, tokens)

    def _remember(self, answer, cache, tokens):
        salt = answer.request.get("salt")
        if salt is not None and cache is not None and len(tokens) >= SHORTEST_PREFIX:
            self.prefixes.insert_cache((salt, answer.request["group"]), list(tokens), cache)

    def finished(self, answer, response):
        self.running.remove(answer)
        self._remember(answer, response.prompt_cache, response.all_tokens)

    def _tell_prompts(self, responses):
        for answer, response in responses:
            if response.end_of_prompt or answer.choice != 0 or answer.tokens:
                continue
            done, total = response.progress
            cached = answer.request["cached"]
            self.send({"kind": "prefill-progress", "sequence": answer.request["sequence"], "doneTokens": cached + done, "totalTokens": cached + total})


class Group:
    def __init__(self, network, parallel):
        self.generator = BatchGenerator(network, completion_batch_size=parallel, prefill_batch_size=min(parallel, 4))
        self.answers = {}

    def add(self, answer, tokens, known, cache):
        request = answer.request
        (answer.uid,) = self.generator.insert(
            [tokens],
            [request["maxTokens"] - len(answer.tokens)],
            caches=None if cache is None else [cache],
            all_tokens=[list(known)],
            samplers=[answer.sample],
            logits_processors=[[answer.process]],
            stop_sequences=[StopSequences([[id] for id in request["stopTokens"]])],
        )
        self.answers[answer.uid] = answer

    def take(self, answer):
        """Its cache and the tokens in it; it leaves the batch."""
        del self.answers[answer.uid]
        with mx.stream(self.generator.stream):
            found = self.generator.remove([answer.uid], return_prompt_caches=True)
        return found.get(answer.uid, (None, []))

    def next(self, batches):
        """One token for each that decodes, then a chunk of the prompts that wait."""
        generator = self.generator
        generator.prefill_step_size = batches.chunk
        began = time.perf_counter()
        prompts, responses = generator.next()
        elapsed = time.perf_counter() - began
        longest = max((batches.chunk for each in prompts if not each.end_of_prompt), default=0)
        if longest and not responses:
            wanted = int(longest * CHUNK_SECONDS / max(elapsed, 1e-4))
            batches.chunk = max(CHUNK["least"], min(CHUNK["most"], wanted, 2 * batches.chunk))
        items = []
        for response in responses:
            answer = self.answers[response.uid]
            answer.tokens.append(response.token)
            answer.request["credit"] -= 1
            if answer.ask is None:
                request = answer.request
                items.append({"sequence": request["sequence"], "choice": answer.choice, "id": response.token, **answer.score()})
            if response.finish_reason is not None:
                del self.answers[response.uid]
                batches.finished(answer, response)
        return [(self.answers[each.uid], each) for each in prompts if each.uid in self.answers], items

    def close(self):
        self.generator.close()
