"""Records in families.json what llama.cpp computes on GGUF exports of tiny families: log probabilities after a prompt.

Run: node test/reference/gguf/export-families.ts FOLDER, then python make-families.py FOLDER (needs xllamacpp, one process per file)."""

import json
import os
import subprocess
import sys
from pathlib import Path

PROMPT = [(i * 37 + 11) % 256 for i in range(24)]


def one(path):
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import xllamacpp as x

    params = x.CommonParams()
    params.model.path = path
    params.n_ctx = 256
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.warmup = False
    for name in ("cache_type_k", "cache_type_v"):
        setattr(params, name, x.ggml_type.GGML_TYPE_F32)
    server = x.Server(params)
    # A full stop is forced, since half a character would come without its distribution, which is that of the raw logits in any case.
    answer = server.handle_completions({"prompt": PROMPT, "n_predict": 1, "temperature": 0, "n_probs": 12, "ignore_eos": True, "logit_bias": [[46, 1000.0]]})
    answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
    entry = answer["choices"][0]["logprobs"]["content"][0]
    out.write(json.dumps([[t["id"], round(t["logprob"], 5)] for t in entry["top_logprobs"]]))
    out.flush()
    os._exit(0)


if len(sys.argv) > 2:
    one(sys.argv[2])
record = {"prompt": PROMPT, "top": {}}
for file in sorted(Path(sys.argv[1]).glob("*.gguf")):
    done = subprocess.run([sys.executable, __file__, sys.argv[1], str(file)], capture_output=True, text=True)
    if not done.stdout:
        print(file.stem, "failed:", [line for line in done.stderr.splitlines() if "error" in line.lower() or "fail" in line.lower()][:6])
        continue
    record["top"][file.stem] = json.loads(done.stdout)
lines = ",\n".join(f'  {json.dumps(name)}: {json.dumps(top)}' for name, top in record["top"].items())
(Path(__file__).parent / "families.json").write_text(f'{{"prompt": {json.dumps(PROMPT)},\n "top": {{\n{lines}\n}}}}\n')
