"""Records digests of what MLX's CPU quantiser gives for many numbers, in mlx-arrays/quantise.json. See README.md.

The numbers are not stored: they are made from a hash of their index, here and in src/formats/mlx/mlx-agreement.test.ts."""

import hashlib
import json
from pathlib import Path

import mlx.core as mx
import numpy as np

ROWS, COLUMNS = 64, 512
DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


def mixed(index):
    with np.errstate(over="ignore"):
        h = index * np.uint32(2654435761)
        h = (h ^ (h >> np.uint32(15))) * np.uint32(2246822519)
        h = (h ^ (h >> np.uint32(13))) * np.uint32(3266489917)
        return h ^ (h >> np.uint32(16))


def numbers(seed):
    """Sums of four 16-bit numbers, near a normal distribution; each row has a size of its own. Exact in float32."""
    index = np.arange(ROWS * COLUMNS, dtype=np.uint32) * np.uint32(4) + np.uint32(seed * 1_000_003)
    total = sum((mixed(index + np.uint32(k)) & np.uint32(0xFFFF)).astype(np.int64) for k in range(4)) - 131_070
    size = 2.0 ** -(20 + (np.arange(ROWS) % 5))
    return (total.reshape(ROWS, COLUMNS) * size[:, None]).astype(np.float32)


def digest(array):
    if array.dtype in (mx.bfloat16, mx.float16):
        array = array.view(mx.uint16)
    return hashlib.sha256(np.ascontiguousarray(np.array(array)).tobytes()).hexdigest()[:32]


cases = []
for bits in (2, 3, 4, 5, 6, 8):
    for group in (32, 64, 128):
        for dtype, kind in DTYPES.items():
            seed = len(cases)
            words, scales, biases = mx.quantize(mx.array(numbers(seed)).astype(kind), group_size=group, bits=bits, stream=mx.cpu)
            cases.append({"seed": seed, "bits": bits, "group": group, "dtype": dtype, "words": digest(words), "scales": digest(scales), "biases": digest(biases)})
record = "[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n"
(Path(__file__).parent / "mlx-arrays" / "quantise.json").write_text(record)
