"""llama.cpp as a peer: one JSON command per line on stdin, one JSON answer per line on stdout.

{"prefill": n, "depth": 0}   -> {"seconds": s}   evaluates n random prompt tokens
{"decode": n, "depth": d}    -> {"seconds": s}   generates n tokens after d cached ones, which later calls find in the cache
{"streams": k, "decode": n}  -> {"seconds": s}   k requests at once, n tokens each
{"next": [ids], "top": m, "force": id} -> {"logprobs": [[id, logprob], ...]}   distribution after the given tokens
Arguments: GGUF file, threads, context tokens, parallel sequences.
"""

import json
import os
import random
import sys
import threading
import time

out = os.fdopen(os.dup(1), "w")  # the library writes to stdout itself
os.dup2(2, 1)

import xllamacpp as x  # noqa: E402

path, threads, context, parallel = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
params = x.CommonParams()
params.model.path = path
params.n_ctx = context
params.n_parallel = parallel
params.n_batch = 512
params.n_ubatch = 512
params.cpuparams.n_threads = threads
params.cpuparams_batch.n_threads = threads
params.warmup = False
server = x.Server(params)
random.seed(7)
prompts = {}


def complete(ids, n, **more):
    answer = server.handle_completions({"prompt": ids, "n_predict": n, "temperature": 0, "cache_prompt": False, "ignore_eos": True, **more})
    answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
    if "timings" not in answer:
        raise RuntimeError(json.dumps(answer)[:500])
    return answer


def tokens(n):
    return [random.randint(100, 20000) for _ in range(n)]


def run(command):
    if "next" in command:
        # A full stop is forced, since a token that ends the text or half a character would come without its distribution,
        # which is taken of the raw logits in any case.
        answer = complete(command["next"], 1, cache_prompt=True, n_probs=command["top"], logit_bias=[[command["force"], 1000.0]])
        entry = answer["choices"][0]["logprobs"]["content"][0]
        return {"logprobs": [[t["id"], t["logprob"]] for t in entry["top_logprobs"]]}
    if "streams" in command:
        # Short prompts, so that all streams decode together nearly all the time: the slowest stream's decoding time counts.
        start, results = time.perf_counter(), []

        def one():
            results.append(complete(tokens(8), command["decode"])["timings"])

        workers = [threading.Thread(target=one) for _ in range(command["streams"])]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
        return {"seconds": time.perf_counter() - start, "decode": max(r["predicted_ms"] for r in results) / 1000}
    if "prefill" in command:
        return {"seconds": complete(tokens(command["prefill"]), 1)["timings"]["prompt_ms"] / 1000}
    # llama.cpp counts the first generated token's evaluation as prompt: n tokens take n - 1 steps.
    depth = max(4, command["depth"])
    prompt = prompts.setdefault(depth, tokens(depth))
    return {"seconds": complete(prompt, command["decode"] + 1, cache_prompt=True)["timings"]["predicted_ms"] / 1000}


out.write(json.dumps({"ready": x.get_system_info(), "version": getattr(x, "__version__", "")}) + "\n")
out.flush()
for line in sys.stdin:
    try:
        reply = run(json.loads(line))
    except Exception as error:  # told to the caller, who decides
        reply = {"error": str(error)}
    out.write(json.dumps(reply) + "\n")
    out.flush()
