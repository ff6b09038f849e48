#!/usr/bin/env python3
"""Models of Mistral's tensors in every GGUF type, written by the `gguf` package, and their logits.

usage: format_models.py .cache/tiny-mistral/tiny-mistral.gguf tests/fixtures
       (npx tsx scripts/make-tiny-mistral.ts makes the GGUF, of which tokenizer and template are taken)

Weights are what random blocks mean, and scales make them of a sensible size. So that gzip makes the files small, runs
of 256 weights come from a pool per type; each has a scale of its own where it is used. Logits by transformers'
MistralForCausalLM in float64 on the weights that `gguf` dequantises: float32, little-endian, base64, row i after
tokens 0 to i.
"""
import base64
import gzip
import hashlib
import json
import os
import random as seeded
import re
import sys
import tempfile

import numpy
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType
from gguf.quants import dequantize
from gguf_llama import load, to_float64
from quant_goldens import HALVES, PLAIN

HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FEED_FORWARD, CONTEXT = 256, 2, 16, 4, 32, 512, 512
TOKENS = 12
# Runs of a pool, few enough for gzip's window of 32 KiB.
POOL, PLAIN_POOL = 64, 24

# Types by name of tensor, the first that matches. The first three follow llama.cpp's llama_tensor_get_type.
MODELS = {
    "q4-k-m": (
        LlamaFileType.MOSTLY_Q4_K_M,
        [(r"output\.", Type.Q6_K), (r"blk\.1\.(attn_v|ffn_down)", Type.Q6_K), (r"", Type.Q4_K)],
    ),
    "q4-0": (LlamaFileType.MOSTLY_Q4_0, [(r"output\.", Type.Q6_K), (r"", Type.Q4_0)]),
    "iq4-xs": (
        LlamaFileType.MOSTLY_IQ4_XS,
        [(r"output\.", Type.Q6_K), (r"attn_v", Type.Q5_K), (r"blk\.0\.ffn_down", Type.Q5_K), (r"", Type.IQ4_XS)],
    ),
    # What the others lack.
    "assorted": (
        None,
        [
            (r"token_embd", Type.BF16),
            (r"output\.", Type.Q8_0),
            (r"attn_q|blk\.0\.ffn_down", Type.Q5_0),
            (r"attn_k|blk\.1\.ffn_down", Type.Q5_1),
            (r"attn_v|ffn_gate", Type.IQ4_NL),
            (r"ffn_up", Type.Q4_1),
            (r"blk\.0\.attn_output", Type.F16),
            (r"blk\.1\.attn_output", Type.F32),
        ],
    ),
}


class Pool:
    """Random runs of 256 weights of one type, with the deviation of a run whose scale is 1."""

    def __init__(self, random: numpy.random.Generator, kind: Type):
        self.kind = kind
        self.random = random
        if kind in PLAIN:
            self.values = random.standard_normal((PLAIN_POOL, 256)).astype(numpy.float32)
            return
        self.block_weights, self.block_bytes = GGML_QUANT_SIZES[kind]
        self.blocks = random.integers(0, 255, (POOL, 256 // self.block_weights, self.block_bytes), dtype=numpy.uint8, endpoint=True)
        two = len(HALVES[kind]) == 2
        self.minimum = -self.statistics(1, 0)[0] / self.statistics(0, 1)[0] if two else 0
        self.deviation = self.statistics(1, self.minimum)[1]

    def statistics(self, *scales: float) -> tuple[float, float]:
        weights = dequantize(self.scaled(self.blocks, [numpy.full(POOL, scale) for scale in scales]).reshape(POOL, -1), self.kind)
        return weights.mean(), weights.std()

    def scaled(self, blocks: numpy.ndarray, scales: list[numpy.ndarray]) -> numpy.ndarray:
        """Writes scales [runs] into blocks [runs, blocks of a run, bytes]."""
        blocks = blocks.copy()
        for offset, scale in zip(HALVES[self.kind], scales):
            blocks[:, :, offset : offset + 2] = scale.astype("<f2").view(numpy.uint8).reshape(-1, 1, 2)
        return blocks

    def matrix(self, rows: int, columns: int, deviation: float) -> numpy.ndarray:
        runs = rows * columns // 256
        if self.kind in PLAIN:
            values = (self.values * numpy.float32(deviation))[self.random.integers(0, PLAIN_POOL, runs)].reshape(rows, columns)
            if self.kind == Type.F32:
                return values
            if self.kind == Type.F16:
                return values.astype(numpy.float16)
            return (values.view(numpy.uint32) >> 16).astype(numpy.uint16).view(numpy.uint8).reshape(rows, columns * 2)
        chosen = self.random.integers(0, POOL, runs)
        scale = deviation / self.deviation * self.random.uniform(0.5, 1.5, runs) * self.random.choice([-1, 1], runs)
        return self.scaled(self.blocks[chosen], [scale, scale * self.minimum]).reshape(rows, -1)


def tensors(vocabulary_size: int) -> list[tuple[str, int, int, float]]:
    """Names, rows, columns and deviations of all matrices."""
    query, key = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    result = [("token_embd", vocabulary_size, HIDDEN, 1.0), ("output", vocabulary_size, HIDDEN, 2 / HIDDEN**0.5)]
    for layer in range(LAYERS):
        for name, rows, columns in [
            ("attn_q", query, HIDDEN),
            ("attn_k", key, HIDDEN),
            ("attn_v", key, HIDDEN),
            ("attn_output", HIDDEN, query),
            ("ffn_gate", FEED_FORWARD, HIDDEN),
            ("ffn_up", FEED_FORWARD, HIDDEN),
            ("ffn_down", HIDDEN, FEED_FORWARD),
        ]:
            result.append((f"blk.{layer}.{name}", rows, columns, 1.3 / columns**0.5))
    return result


def write_model(path: str, name: str, template: GGUFReader) -> None:
    file_type, types = MODELS[name]
    random = numpy.random.default_rng(sum(name.encode()))
    writer = GGUFWriter(path, "llama")
    writer.add_name(f"Formats {name}")
    writer.add_license("apache-2.0")
    if file_type is not None:
        writer.add_file_type(file_type)
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, field in template.fields.items():
        if key.startswith("tokenizer."):
            kind = field.types[0]
            sub_type = field.types[-1] if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=sub_type)
    vocabulary_size = len(template.fields["tokenizer.ggml.tokens"].data)
    writer.add_vocab_size(vocabulary_size)
    pools: dict[Type, Pool] = {}
    for tensor, rows, columns, deviation in tensors(vocabulary_size):
        kind = next(kind for pattern, kind in types if re.search(pattern, f"{tensor}."))
        if kind not in pools:
            pools[kind] = Pool(random, kind)
        writer.add_tensor(f"{tensor}.weight", pools[kind].matrix(rows, columns, deviation), raw_dtype=kind)
    norms = ["output_norm", *(f"blk.{layer}.{norm}" for layer in range(LAYERS) for norm in ("attn_norm", "ffn_norm"))]
    for norm in norms:
        writer.add_tensor(f"{norm}.weight", random.uniform(0.8, 1.2, HIDDEN).astype(numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(template_path: str, folder: str) -> None:
    template = GGUFReader(template_path)
    vocabulary_size = len(template.fields["tokenizer.ggml.tokens"].data)
    result = {}
    for name in MODELS:
        with tempfile.TemporaryDirectory() as temporary:
            path = os.path.join(temporary, f"{name}.gguf")
            write_model(path, name, template)
            with open(path, "rb") as file:
                data = file.read()
            with open(os.path.join(folder, f"formats-{name}.gguf.gz"), "wb") as file:
                file.write(gzip.compress(data, 9, mtime=0))
            model = to_float64(load(path, "mistral"))
        chooser = seeded.Random(name)
        tokens = [1, *(chooser.randrange(3, vocabulary_size) for _ in range(TOKENS - 1))]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        print(f"{name}: {len(data)} bytes, max|logit| = {logits.abs().max():.2f}", file=sys.stderr)
        result[name] = {
            "ggufSha256": hashlib.sha256(data).hexdigest(),
            "tokens": tokens,
            "logits": base64.b64encode(logits.float().numpy().astype("<f4").tobytes()).decode(),
        }
    with open(os.path.join(folder, "format-logits.json"), "w") as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in result.items()) + "\n}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
