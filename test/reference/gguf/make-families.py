"""Records in families.json what llama.cpp computes on GGUF exports of tiny families: log probabilities after a prompt.

Run: python make-families.py FOLDER (needs xllamacpp and node). The files are written into the folder first; each is loaded by a process of its own."""

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


# The folder's name goes into the file, and llama.cpp treats models that are called phi-3 in a way of its own.
EXPORT = """
import { join } from 'node:path';
import { exportGguf } from './src/formats/index.ts';
import { FAMILY_CONFIGS, makeFamilyCheckpoint } from './test/support/family-checkpoint.ts';
const folder = process.argv[1];
for (const [i, name] of Object.keys(FAMILY_CONFIGS).entries()) {
  await makeFamilyCheckpoint(name, join(folder, `tiny-${i}`));
  await exportGguf(join(folder, `tiny-${i}`), join(folder, `${name}.gguf`));
}
"""

if len(sys.argv) > 2:
    one(sys.argv[2])
Path(sys.argv[1]).mkdir(parents=True)
subprocess.run(["node", "--input-type=module", "-e", EXPORT, str(Path(sys.argv[1]).resolve())], cwd=Path(__file__).parents[3], check=True)
record = {"prompt": PROMPT, "top": {}}
for file in sorted(Path(sys.argv[1]).glob("*.gguf")):
    done = subprocess.run([sys.executable, __file__, sys.argv[1], str(file)], capture_output=True, text=True)
    if not done.stdout:
        print(file.stem, "failed:", [line for line in done.stderr.splitlines() if "error" in line.lower() or "fail" in line.lower()][:6])
        continue
    record["top"][file.stem] = json.loads(done.stdout)
lines = ",\n".join(f'  {json.dumps(name)}: {json.dumps(top)}' for name, top in record["top"].items())
(Path(__file__).parent / "families.json").write_text(f'{{"prompt": {json.dumps(PROMPT)},\n "top": {{\n{lines}\n}}}}\n')
