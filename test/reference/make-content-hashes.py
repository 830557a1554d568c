"""Records what MLX Knife's content hash, version 2, gives for generated trees, in content-hashes.json. See README.md.

PYTHONPATH names a checkout of its source, or the package is installed. A tree is a list of entries; the test builds the same one."""

import json
import os
import random
import tempfile
import unicodedata
from pathlib import Path

from mlxk2.operations.workspace import compute_workspace_hash_v2

NAMES = ["a.txt", "a-b", "A", "é.json", "ß", "日本.md", "🙂", "\U00010000", "\uffff", "name with space", "x.tmp", "b~", "._c", ".DS_Store", "Icon\r", "Icon", "w.safetensors", "W.SAFETENSORS",
         "tokenizer.json", "LICENSE", ".hidden", "q.lock", "q.lock.json", "[x]", "a*b", "Å", "ﬁ.txt", "가"]
DIRECTORIES = ["sub", "sub/deep", "node_modules", ".git", "venv", "venvs", "é", "$RECYCLE.BIN", "x.tmp.d", ".hf_cache", "sub/.hf_cache"]
LINKS = ["config.json", "./config.json", "missing", "sub", "sub/../config.json", "../config.json", ".", "..", "/etc/hosts", "../outside", "loop", "é.json", "sub/deep/none"]


def safetensors(seed):
    header = json.dumps({f"t{seed}": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}}).encode()
    return (len(header).to_bytes(8, "little") + header + bytes([seed % 256]) * 8).hex()


def tree(seed):
    rng = random.Random(seed)
    entries = [["file", "config.json", b'{"model_type":"llama"}'.hex()]]
    places = [""] + [d + "/" for d in DIRECTORIES if rng.random() < 0.5]
    taken = {"config.json"}
    for _ in range(rng.randint(1, 14)):
        name = rng.choice(NAMES)
        if rng.random() < 0.4:
            name = unicodedata.normalize("NFD", name)
        path = rng.choice(places) + name
        # Two forms of one name would be two files on some disks, and one on others.
        if unicodedata.normalize("NFC", path) in taken or any(t.startswith(path + "/") for t in taken):
            continue
        taken.add(unicodedata.normalize("NFC", path))
        kind = rng.random()
        if kind < 0.25:
            entries.append(["link", path, rng.choice(LINKS if rng.random() < 0.5 else LINKS[:5])])
        elif name.endswith(".safetensors"):
            entries.append(["file", path, safetensors(seed) if rng.random() < 0.9 else rng.choice(["", "0000000000000000", "ffffffffffffffff00", "0500000000000000aa"])])
        elif kind < 0.32:
            entries.append(["sparse", path, 2**30 + rng.choice([-1, 0, 1, 12345]) if seed % 40 == 0 else 5000])
        else:
            entries.append(["file", path, rng.randbytes(rng.choice([0, 1, 3, 50])).hex()])
    return entries


def build(root, entries):
    for kind, path, value in entries:
        at = os.path.join(root, path)
        os.makedirs(os.path.dirname(at), exist_ok=True)
        if kind == "link":
            os.symlink(value, at)
        elif kind == "sparse":
            with open(at, "wb") as file:
                file.truncate(value)
        else:
            with open(at, "wb") as file:
                file.write(bytes.fromhex(value))


record = []
for seed in range(160):
    entries = tree(seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ws"
        root.mkdir()
        build(root, entries)
        try:
            found = compute_workspace_hash_v2(root)
        except RuntimeError:  # a link that goes in circles ends older Pythons
            continue
        record.append({"entries": entries, "hash": None if found is None else found[0]})
text = "[\n" + ",\n".join(json.dumps(case) for case in record) + "\n]\n"
(Path(__file__).parent / "content-hashes.json").write_text(text)
print(len(record), "trees,", sum(case["hash"] is None for case in record), "without a hash")
