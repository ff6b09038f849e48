#!/usr/bin/env python3
"""What SmolLM2 predicts for 12 texts of 48 tokens, in float32 on the dequantised weights of the GGUF.

usage: smollm2_score.py SMOLLM2.gguf > tests/fixtures/smollm2-score.json

The quantised blocks are expanded by the `gguf` package, the rows of Q and K brought back from llama.cpp's order to
Hugging Face's, and the whole runs as transformers' LlamaForCausalLM. llama.cpp itself would be no oracle: its CPU path
rounds activations to 8 bits. A float64 run tells how exact the float32 one is; the difference goes to stderr.

Entry i of a text's arrays tells of the logits after tokens 0 to i. Floats are float32, little-endian, base64.
    top          ids of the 8 highest logits, highest first, [48][8]
    topLogits    their logits, [48][8]
    sample       logits at `sampleIds`, [48][64]
    mean, std    of all logits, [48]
    logSumExp    natural logarithm of the sum of exp(logit), [48]
"""
import base64
import json
import random
import sys

import torch

from gguf_llama import load, to_float64
from tokenizer_goldens import smollm_reference

LENGTH = 48
SAMPLES = 64

CHAT = [
    ("system", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
    ("user", "What is the capital of France, and which river runs through it?"),
    ("assistant", "The capital of France is Paris, and the river Seine runs through it."),
]

TEXTS = {
    "prose": "The old lighthouse keeper climbed the winding stairs every evening at dusk, carrying a small lantern and a "
    "thermos of coffee. From the top he could see the harbour, the fishing boats coming home, and beyond them the long "
    "grey line where the sea met the sky.",
    "science": "Photosynthesis is the process by which green plants and some other organisms use sunlight to synthesise "
    "nutrients from carbon dioxide and water. It generally involves the green pigment chlorophyll and generates oxygen "
    "as a by-product, which is released into the atmosphere.",
    "python": "def fibonacci(n):\n    \"\"\"Return the n-th Fibonacci number.\"\"\"\n    if n < 2:\n        return n\n"
    "    a, b = 0, 1\n    for _ in range(n - 1):\n        a, b = b, a + b\n    return b\n\nprint(fibonacci(10))\n",
    "javascript": "async function loadUser(id) {\n  const response = await fetch(`/api/users/${id}`);\n"
    "  if (!response.ok) {\n    throw new Error(`HTTP ${response.status}`);\n  }\n  return response.json();\n}\n",
    "french": "Le petit village se trouvait au bord de la mer, entouré de collines couvertes de vignes. Chaque matin, les "
    "pêcheurs partaient avant l'aube et revenaient avec leurs filets pleins de poissons argentés.",
    "german": "Am nächsten Morgen regnete es in Strömen, und die Straßen der kleinen Stadt waren leer. Nur der Bäcker hatte "
    "schon geöffnet und stellte frische Brötchen ins Schaufenster.",
    "numbers": "Total: 3.14159 + 2.71828 = 5.85987; 12 * 12 = 144; 2 ** 10 = 1024; 100 / 7 = 14.2857; 17 mod 5 = 2; 2024",
    "list": "Shopping list:\n- 2 litres of milk\n- 6 eggs\n- 500 g of flour\n- 1 loaf of bread\n- 3 apples\n- butter\n"
    "- a bar of dark chocolate\n- olive oil\n\nRecipe:\n1. Mix the flour and eggs.\n2. Add the milk.\n",
    "json": "{\"name\": \"Ada Lovelace\", \"born\": 1815, \"fields\": [\"mathematics\", \"computing\"], \"address\": "
    "{\"city\": \"London\", \"country\": \"United Kingdom\"}, \"active\": false, \"score\": 9.75}",
    "dialogue": "\"Where have you been?\" she asked, without looking up from her book.\n\n\"Out,\" he said. \"It's raining, and I "
    "forgot my umbrella.\"\n\n\"You always forget it. There's soup on the stove, if you're hungry.\"\n",
    "mixed": "Привет, мир! こんにちは。 Hello 🌍 — naïve café, 50 % off… «déjà vu» ½ ≈ 0.5 → ok?\t\ttabs  and   spaces\n\n\nend",
}


def encode_texts(path: str) -> dict[str, list[int]]:
    tokenizer = smollm_reference(path)
    ids = {name: tokenizer.encode(text, add_special_tokens=False).ids for name, text in TEXTS.items()}
    start, end = 1, 2  # <|im_start|>, <|im_end|>
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    ids["chat"] = [id_ for role, text in CHAT for id_ in [start, *encode(f"{role}\n{text}"), end, *encode("\n")]]
    for name, tokens in ids.items():
        assert len(tokens) >= LENGTH, (name, len(tokens))
    return {name: tokens[:LENGTH] for name, tokens in ids.items()}


def packed(values: torch.Tensor) -> str:
    return base64.b64encode(values.to(torch.float32).numpy().astype("<f4").tobytes()).decode()


def main(path: str) -> None:
    texts = encode_texts(path)
    model = load(path)
    tokens = torch.tensor(list(texts.values()))
    with torch.no_grad():
        logits = model(tokens).logits
        exact = to_float64(model)(tokens).logits
    error = (logits.double() - exact).abs()
    same = (logits.argmax(-1) == exact.argmax(-1)).double().mean()
    print(f"float32 against float64: max {error.max():.2e}, rms {error.square().mean().sqrt():.2e}, same top {same:.4f}", file=sys.stderr)
    sample_ids = sorted(random.Random(24).sample(range(model.config.vocab_size), SAMPLES))
    result = []
    for name, ids, text_logits in zip(texts, texts.values(), logits):
        top = text_logits.topk(8)
        margin = top.values[:, 0] - top.values[:, 1]
        print(f"{name}: margin <= 0.1 at {(margin <= 0.1).sum()} positions", file=sys.stderr)
        result.append(
            {
                "name": name,
                "tokens": ids,
                "top": top.indices.tolist(),
                "topLogits": packed(top.values),
                "sample": packed(text_logits[:, sample_ids]),
                "mean": packed(text_logits.mean(-1)),
                "std": packed(text_logits.std(-1)),
                "logSumExp": packed(text_logits.logsumexp(-1)),
            }
        )
    nll = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    print(f"perplexity {nll.exp():.3f}", file=sys.stderr)
    print(json.dumps({"sampleIds": sample_ids, "texts": result}, separators=(",", ":")).replace('{"name"', '\n{"name"'))


if __name__ == "__main__":
    main(sys.argv[1])
