"""Records what llama.cpp's own Python package gives: decoded random blocks (blocks.json) and a small file (writer.gguf).

Needs: pip install gguf==0.19.0. Run from anywhere: python make-gguf.py
"""

import json
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import GGUFWriter, quants
from gguf.constants import GGML_QUANT_SIZES

HERE = Path(__file__).parent
TYPES = [T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.MXFP4, T.NVFP4, T.Q4_K, T.Q5_K, T.Q6_K]
# Offsets of fp16 numbers in a block: kept finite, the other bytes are random.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0], "BF16": [0]}


def random_blocks(kind, rng):
    elements, size = GGML_QUANT_SIZES[kind]
    count = 4 if elements == 256 else 12 if elements > 1 else 96
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES.get(kind.name, []):
        blocks[:, at + 1] &= 0xBF if kind.name != "BF16" else 0xBE
    if kind.name == "MXFP4":
        blocks[:, 0] = rng.integers(100, 140, count)
    if kind.name == "NVFP4":
        blocks[:, :4] &= 0x7F
        blocks[0, 0], blocks[0, 1] = 0x7F, 0x00
    return blocks


def main():
    rng = np.random.default_rng(7)
    rows = {}
    for kind in TYPES:
        blocks = random_blocks(kind, rng)
        values = quants.dequantize(blocks, kind).astype(np.float32).reshape(-1)
        assert np.isfinite(values).all(), kind
        rows[kind.name] = {"blocks": blocks.tobytes().hex(), "float32": values.tobytes().hex()}
    # With numbers of their own, so that the other rows stay as they are.
    later = np.random.default_rng(8)
    for kind in (T.Q2_K, T.Q3_K):
        blocks = random_blocks(kind, later)
        rows[kind.name] = {"blocks": blocks.tobytes().hex(), "float32": quants.dequantize(blocks, kind).astype(np.float32).tobytes().hex()}
    rows["encodeQ4_0"] = encode(rng, T.Q4_0)
    rows["encodeQ8_0"] = encode(rng, T.Q8_0)
    (HERE / "blocks.json").write_text(json.dumps(rows, indent=0) + "\n")
    write_file(rng)


def encode(rng, kind):
    values = rng.standard_normal((4, 64)).astype(np.float32)
    values[0, :32] = 0
    return {"float32": values.tobytes().hex(), "blocks": quants.quantize(values, kind).tobytes().hex()}


def write_file(rng):
    writer = GGUFWriter(HERE / "writer.gguf", "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["a", "b", "ab", "<|end|>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(3)
    writer.add_bool("hearth.test.flag", True)
    writer.add_array("hearth.test.numbers", [1.5, -2.5])
    writer.add_int64("hearth.test.long", -(2**40))
    writer.add_uint64("hearth.test.huge", 2**63 + 1)
    writer.add_tensor("token_embd.weight", rng.standard_normal((4, 32)).astype(np.float32))
    writer.add_tensor("blk.0.attn_norm.weight", np.ones(32, dtype=np.float32))
    q41 = rng.integers(0, 256, (32, 20), dtype=np.uint8)
    q41[:, [1, 3]] &= 0xBF
    writer.add_tensor("blk.0.attn_q.weight", q41, raw_dtype=T.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


main()
