"""Records what MLX writes and computes, under mlx-arrays/. See README.md."""

from pathlib import Path

import mlx.core as mx
import numpy as np
from mlx_lm.utils import _transform_awq_weights
from safetensors.numpy import save_file

ROOT = Path(__file__).parent / "mlx-arrays"
DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}
ROOT.mkdir(exist_ok=True)
mx.random.seed(20)


def awkward(shape, dtype):
    """Random rows; the first group is zero, the second constant, the third has one spike."""
    values = mx.random.normal(shape) * mx.exp(mx.random.normal((shape[0], 1)))
    values[0, :32] = 0
    values[0, 32:64] = 0.75
    values[0, 64:128] = 0
    values[0, 70] = -5
    return values.astype(dtype)


# Codes of random words: scale 1 and bias 0 let the codes through.
packing = {}
for bits in (2, 3, 4, 5, 6, 8):
    words = mx.random.randint(0, 2**32, (3, 128 * bits // 32), dtype=mx.int64).astype(mx.uint32)
    one = mx.ones((3, 4))
    packing[f"b{bits}.words"] = words
    packing[f"b{bits}.codes"] = mx.dequantize(words, one, mx.zeros_like(one), group_size=32, bits=bits).astype(mx.uint8)
mx.save_safetensors(str(ROOT / "packing.safetensors"), packing)

quantised = {}
modes = [(f"affine.b{bits}.g{group}.{dtype}", dict(bits=bits, group_size=group), dtype) for bits in (2, 3, 4, 5, 6, 8) for group in (32, 64, 128) for dtype in DTYPES]
modes += [(f"{mode}.{dtype}", dict(mode=mode), dtype) for mode in ("mxfp4", "mxfp8", "nvfp4") for dtype in DTYPES]
for name, parameters, dtype in modes:
    values = awkward((2, 256), DTYPES[dtype])
    arrays = mx.quantize(values, **parameters)
    quantised |= {f"{name}.values": values, f"{name}.words": arrays[0], f"{name}.scales": arrays[1]}
    if len(arrays) == 3:
        quantised[f"{name}.biases"] = arrays[2]
        quantised[f"{name}.result"] = mx.dequantize(*arrays, **parameters)
    else:
        quantised[f"{name}.result"] = mx.dequantize(*arrays, **parameters, dtype=mx.float32)
mx.save_safetensors(str(ROOT / "quantised.safetensors"), quantised)

# Names and sizes that leave the header unordered and the tensors unaligned.
files = {
    "no-metadata": (None, {f"layer.{i}.{leaf}": mx.arange(i + 1, dtype=dtype) for i in range(7) for leaf, dtype in (("a", mx.uint8), ("b", mx.float32), ("c", mx.bfloat16))}),
    "metadata": ({"format": "mlx"}, {"weight": mx.arange(6, dtype=mx.float16).reshape(2, 3), "scalar": mx.array(3, dtype=mx.int64), "none": mx.zeros((0, 4)), "flags": mx.array([True, False, True])}),
}
for name, (metadata, arrays) in files.items():
    if metadata:
        mx.save_safetensors(str(ROOT / f"{name}.safetensors"), arrays, metadata)
    else:
        mx.save_safetensors(str(ROOT / f"{name}.safetensors"), arrays)

# The writer that everybody else uses.
save_file(
    {"b": np.arange(12, dtype=np.float32).reshape(3, 4), "a": np.arange(5, dtype=np.uint8), "c": np.array(7, dtype=np.int64), "d": np.arange(3, dtype=np.float16)},
    str(ROOT / "standard-writer.safetensors"),
    metadata={"format": "pt"},
)

# An AWQ module and what mlx-lm makes of it.
module = {
    "m.qweight": mx.random.randint(0, 2**32, (64, 3), dtype=mx.int64).astype(mx.uint32),
    "m.qzeros": mx.random.randint(0, 2**32, (2, 3), dtype=mx.int64).astype(mx.uint32),
    "m.scales": (0.01 * mx.random.normal((2, 24))).astype(mx.float16),
}
result, _ = _transform_awq_weights(module, {"bits": 4, "group_size": 32})
mx.save_safetensors(str(ROOT / "awq.safetensors"), module | {name.replace("m.", "result."): mx.contiguous(value) for name, value in result.items()})
