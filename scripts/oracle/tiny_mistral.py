#!/usr/bin/env python3
"""Logits of tiny-mistral: a prompt of 129 tokens, then 32 greedy steps.

usage: tiny_mistral.py .cache/tiny-mistral/tiny-mistral.gguf > tests/fixtures/tiny-mistral-logits.json
       (npx tsx scripts/make-tiny-mistral.ts makes the GGUF)

transformers' MistralForCausalLM on the dequantised weights, in float64; its plain float32 run must agree, which shows
that widening it changed nothing else. K and V are not rounded. The logits are float32, little-endian, base64: row i
tells of the prediction after tokens 0 to i; `tokens` are the prompt and the 32 that followed greedily.
"""
import base64
import hashlib
import json
import random
import sys

import torch
from gguf_llama import load, to_float64

PROMPT, STEPS = 129, 32


def main(path: str) -> None:
    model = load(path, "mistral")
    vocabulary_size = model.config.vocab_size
    seeded = random.Random(7)
    tokens = [1, *(seeded.randrange(3, vocabulary_size) for _ in range(PROMPT - 1))]
    with torch.no_grad():
        plain = model(torch.tensor([tokens])).logits[0]
        to_float64(model)
        logits = model(torch.tensor([tokens])).logits[0]
        for _ in range(STEPS):
            tokens.append(int(logits[-1].argmax()))
            logits = model(torch.tensor([tokens])).logits[0]
    difference = (plain.double() - logits[:PROMPT]).abs().max() / logits.abs().max()
    assert difference < 1e-5, difference
    print(f"float32 against float64: max|Δ| / max|logit| = {difference:.1e}; max|logit| = {logits.abs().max():.2f}", file=sys.stderr)
    with open(path, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    result = {
        "ggufSha256": digest,
        "vocabularySize": vocabulary_size,
        "promptLength": PROMPT,
        "tokens": tokens,
        "logits": base64.b64encode(logits.float().numpy().astype("<f4").tobytes()).decode(),
    }
    print("{\n" + ",\n".join(f"{json.dumps(key)}:{json.dumps(value)}" for key, value in result.items()) + "\n}")


if __name__ == "__main__":
    main(sys.argv[1])
