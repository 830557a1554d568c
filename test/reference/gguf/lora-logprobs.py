"""llama.cpp's log probabilities of the next token, with a LoRA file.

Usage: lora-logprobs.py MODEL.gguf LORA.gguf|- VOCABULARY_SIZE ID...     prints {id: log probability}
"""

import json
import os
import sys

out = os.fdopen(os.dup(1), "w")  # the library writes to stdout itself
os.dup2(2, 1)

import xllamacpp as x  # noqa: E402

model, lora, vocabulary, *ids = sys.argv[1:]
params = x.CommonParams()
params.model.path = model
params.n_ctx = 256
params.n_parallel = 1
params.cpuparams.n_threads = 1
params.warmup = False
params.cache_type_k = x.ggml_type.GGML_TYPE_F32
params.cache_type_v = x.ggml_type.GGML_TYPE_F32
if lora != "-":
    info = x.CommonAdapterLoraInfo()
    info.path = lora
    info.scale = 1.0
    params.lora_adapters = [info]
server = x.Server(params)
request = {"prompt": [int(i) for i in ids], "n_predict": 1, "temperature": 0, "n_probs": int(vocabulary), "ignore_eos": True}
answer = server.handle_completions(request)
answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
entry = answer["choices"][0]["logprobs"]["content"][0]
out.write(json.dumps({t["id"]: t["logprob"] for t in entry["top_logprobs"]}) + "\n")
out.flush()
os._exit(0)
