"""Records what llama.cpp gives for SmolLM2-135M-Instruct.Q4_1.gguf: ids of the probe texts and greedy continuations.

Needs: pip install xllamacpp (llama.cpp as a Python package). Run: python make-smollm2.py PATH/SmolLM2-135M-Instruct.Q4_1.gguf
Writes smollm2-tokens.json and smollm2-greedy.json. Of the candidates those are kept whose two best logits differ by more than 0.5
at each of the first 20 tokens: there rounding inside an engine cannot change the choice.
"""

import hashlib
import json
import os
import sys
import urllib.request
from pathlib import Path

import xllamacpp

HERE = Path(__file__).parent
MODEL = Path(sys.argv[1])
LENGTH = 24
NEEDED = 20
MARGIN = 0.5
PLAIN = [
    "1, 2, 3, 4, 5, 6, 7, 8, 9, 10,",
    "red green blue yellow " * 8,
    "The rain in Spain stays mainly in the plain.\n" * 6,
    "x = 1\ny = 2\nz = 3\n" * 8,
    "10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130,",
    "Line 1\nLine 2\nLine 3\nLine 4\nLine 5\nLine 6\nLine 7\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n" * 6,
    "for (int i = 0; i < 10; i++) { a[i] = i; }\n" * 6,
    "do re mi fa sol la ti do. " * 7,
]
CHAT = ["Count from 1 to 20.", "Count from 5 to 25."]


def start():
    params = xllamacpp.CommonParams()
    params.model.path = str(MODEL)
    params.n_ctx = 2048
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    params.warmup = False
    return xllamacpp.Server(params)


SERVER = start()


def post(path, body):
    request = urllib.request.Request(SERVER.listening_address + path, data=json.dumps(body).encode(), headers={"content-type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def tokenize(text, special):
    return post("/tokenize", {"content": text, "add_special": False, "parse_special": special})["tokens"]


def greedy(text):
    ids = tokenize(text, True)
    answer = post("/completion", {"prompt": ids, "n_predict": LENGTH, "temperature": 0, "n_probs": 2, "return_tokens": True, "cache_prompt": False, "ignore_eos": False})
    rows = answer["completion_probabilities"]
    # Rows are left out where a token ends inside a character; such prompts are of no use here.
    if [row["id"] for row in rows] != answer["tokens"]:
        return {"prompt": text, "promptIds": ids, "ids": [], "margins": [0]}
    margins = [round(row["top_logprobs"][0]["logprob"] - row["top_logprobs"][1]["logprob"], 4) for row in rows]
    return {"prompt": text, "promptIds": ids, "ids": [row["id"] for row in rows], "margins": margins}


def chat(text):
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"


def main():
    digest = hashlib.sha256(MODEL.read_bytes()).hexdigest()
    probes = json.loads((HERE / "tokenizer/probe-texts.json").read_text())
    tokens = {"model": digest, "special": [tokenize(text, True) for text in probes], "plain": [tokenize(text, False) for text in probes]}
    (HERE / "smollm2-tokens.json").write_text(json.dumps(tokens, separators=(",", ":")) + "\n")
    kept = []
    for text in PLAIN + [chat(text) for text in CHAT]:
        row = greedy(text)
        print(len(row["ids"]), min(row["margins"][:NEEDED]), repr(text[-40:]))
        if len(row["ids"]) >= NEEDED and min(row["margins"][:NEEDED]) > MARGIN:
            kept.append(row)
    (HERE / "smollm2-greedy.json").write_text(json.dumps({"model": digest, "margin": MARGIN, "prompts": kept}, indent=1) + "\n")


main()
sys.stdout.flush()
os._exit(0)
