#!/usr/bin/env python3
"""Blocks of every GGUF type that the model library runs, and the weights they mean.

usage: quant_goldens.py > tests/fixtures/quant-goldens.json

Quants and sub-scales are any bits at all; f16 scales are finite, and among them are subnormal, negative, largest and
zero ones. Weights by the `gguf` package, float32, little-endian, base64.
"""
import base64
import json

import numpy
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize

WEIGHTS = 768
# Byte offsets of the f16 values of a block.
HALVES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208], Type.IQ4_NL: [0], Type.IQ4_XS: [0],
}
# Normal and subnormal ones, the largest, and zero; every second block has them negative.
SCALES = [0.0123, 2.0**-24, 1000 * 2.0**-24, 1.75, 65504.0, 3.0 * 2.0**-20, 0.0]
PLAIN = {Type.F32: (numpy.uint32, numpy.float32), Type.F16: (numpy.uint16, numpy.float16), Type.BF16: (numpy.uint16, None)}


def plain_bits(random: numpy.random.Generator, kind: Type) -> numpy.ndarray:
    """Bits of finite numbers of all exponents."""
    words, floats = PLAIN[kind]
    bits = random.integers(0, numpy.iinfo(words).max, WEIGHTS, dtype=words, endpoint=True)
    if floats is None:
        finite = numpy.isfinite((bits.astype(numpy.uint32) << 16).view(numpy.float32))
    else:
        finite = numpy.isfinite(bits.view(floats))
    return numpy.where(finite, bits, 0).astype(words).view(numpy.uint8)


def blocks_of(random: numpy.random.Generator, kind: Type) -> numpy.ndarray:
    block_weights, block_bytes = GGML_QUANT_SIZES[kind]
    count = WEIGHTS // block_weights
    blocks = random.integers(0, 255, (count, block_bytes), dtype=numpy.uint8, endpoint=True)
    for number, block in enumerate(blocks):
        for place, offset in enumerate(HALVES[kind]):
            scale = SCALES[(number + 3 * place) % len(SCALES)] * (-1) ** number
            block[offset : offset + 2] = numpy.array([scale], dtype="<f2").view(numpy.uint8)
    return blocks.reshape(-1)


def main() -> None:
    random = numpy.random.default_rng(44)
    encode = lambda data: base64.b64encode(data.tobytes()).decode()
    result = {}
    for kind in [*PLAIN, *HALVES]:
        data = plain_bits(random, kind) if kind in PLAIN else blocks_of(random, kind)
        weights = dequantize(data.reshape(1, -1), kind)
        weights = numpy.asarray(weights, dtype="<f4").reshape(-1)
        assert len(weights) == WEIGHTS and numpy.isfinite(weights).all(), kind
        result[kind.name] = {"blocks": encode(data), "weights": encode(weights)}
    print("{\n" + ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in result.items()) + "\n}")


if __name__ == "__main__":
    main()
