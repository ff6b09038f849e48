#!/usr/bin/env python3
"""Token ids of tests/fixtures/tokenizer-strings.json by the reference tokenizers.

usage: tokenizer_goldens.py smollm  SMOLLM2.gguf > tests/fixtures/smollm-ids.json
       tokenizer_goldens.py tekken               > tests/fixtures/tekken-small.json
       tokenizer_goldens.py llama-bpe            > tests/fixtures/llama-bpe-small.json
       tokenizer_goldens.py spm                  > tests/fixtures/spm-small.json
       tokenizer_goldens.py tekken-full          > .cache/tekken-full.json
       tokenizer_goldens.py spm-full v1          > .cache/spm-v1.json
       tokenizer_goldens.py spm-full v3          > .cache/spm-v3.json

The last three are whole vocabularies, too large to commit; `npm run test:full` compares with them where they lie.

smollm:     vocabulary and merges of the GGUF in the pipeline that SmolLM2's makers publish (every digit alone, then
            byte-level BPE with GPT-2's words), run by Hugging Face's `tokenizers`; control tokens in text are text.
            A second, plain implementation in this file must agree on every string.
tekken:     mistral-common, reading a tekken.json with the first ranks only, so that the fixture stays small; a prefix
            of the ranks is a complete Tekken vocabulary. Versions v3, v7, v11 and v13 of the file must give the same
            ids. `tekken-full` has all 131,072.
spm:        sentencepiece, with some of the pieces of mistral-common's tokenizer.model.v3: the first control tokens, all
            user-defined ones and bytes, the best merges, and every character that those need. `spm-full` has all. Of
            the merges that transformers' converter derives there is a sum.
llama-bpe:  tiktoken with Llama 3's split pattern, as transformers has it, over those ranks and some numbers.

Every U+0001 is removed from the strings first, as the product does. The vocabularies are given as a GGUF file has
them: tokens in the byte alphabet, token types, merges.
"""
import base64
import hashlib
import json
import os
import sys

import regex
import tiktoken
from gguf import GGUFReader
from mistral_common.tokens.tokenizers.tekken import SpecialTokenInfo
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import generate_merges
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

from mistral_vocabularies import (
    SMALL_CONTROLS,
    SMALL_RANKS,
    control_tokens,
    load_tekken,
    small_spm_model,
    spm_model,
    tekken_model,
    tekken_vocabulary,
)

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "fixtures")


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary: printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256)]


ALPHABET = byte_alphabet()


def spell(data: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in data)


def strings() -> list[str]:
    with open(os.path.join(FOLDER, "tokenizer-strings.json"), encoding="utf-8") as file:
        return [text.replace("\x01", "") for text in json.load(file)]


def merges_of(ranks: dict[bytes, int]) -> list[str]:
    """Merges of a ranked vocabulary: per token, in order of rank, all its cuts into two tokens."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
        known = [cut for cut in cuts if cut[0] in ranks and cut[1] in ranks]
        merges += [f"{spell(a)} {spell(b)}" for a, b in sorted(known, key=lambda cut: (ranks[cut[0]], ranks[cut[1]]))]
    return merges


def as_gguf(pre: str, controls: list[SpecialTokenInfo], ranks: dict[bytes, int]) -> dict:
    ordered = sorted(ranks, key=ranks.__getitem__)
    return {
        "pre": pre,
        "controls": [token["token_str"] for token in controls],
        "tokens": [spell(token) for token in ordered],
        "merges": merges_of(ranks),
        "bos": 1,
        "eos": 2,
    }


def tekken(vocabulary_size: int, control_count: int) -> dict:
    ids = None
    for version in ("v3", "v7", "v11", "v13"):
        model = tekken_model(version, vocabulary_size, control_count)
        reference = load_tekken(model).instruct_tokenizer.tokenizer
        found = [reference.encode(text, bos=False, eos=False) for text in strings()]
        assert ids is None or found == ids, version
        ids = found
    ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in model["vocab"][: vocabulary_size - control_count]}
    return {**as_gguf("tekken", control_tokens(control_count), ranks), "ids": ids}


def spm_goldens(model: ModelProto) -> dict:
    reference = SentencePieceProcessor(model_proto=model.SerializeToString())
    vocabulary = {piece.piece: i for i, piece in enumerate(model.pieces)}
    merges = generate_merges(vocabulary, [(piece.piece, piece.score) for piece in model.pieces])
    return {
        "tokens": [piece.piece for piece in model.pieces],
        "scores": [int(piece.score) if piece.score == int(piece.score) else piece.score for piece in model.pieces],
        "types": [piece.type for piece in model.pieces],
        "bos": reference.bos_id(),
        "eos": reference.eos_id(),
        "mergesSha256": hashlib.sha256("\n".join(" ".join(merge) for merge in merges).encode()).hexdigest(),
        "ids": [reference.encode(text) for text in strings()],
    }


def llama_bpe() -> dict:
    controls = control_tokens(SMALL_CONTROLS)
    ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in tekken_vocabulary()["vocab"][:SMALL_RANKS]}
    numbers = [f"{n:02d}" for n in range(100)] + ["000", "123", "999", "456", "2024"[:3], "'S", "'LL"]
    for number in numbers:  # Tekken has no numbers; the groups of three would go unseen
        ranks.setdefault(number.encode(), len(ranks))
    reference = tiktoken.Encoding("llama-bpe", pat_str=GGUF_PRE_TOKENIZER_SPLITS["llama-bpe"], mergeable_ranks=ranks, special_tokens={})
    ids = [[SMALL_CONTROLS + token for token in reference.encode_ordinary(text)] for text in strings()]
    return {**as_gguf("llama-bpe", controls, ranks), "ids": ids}


GPT2_WORDS = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def plain_smollm(text: str, vocabulary: dict[str, int], ranks: dict[tuple[str, str], int]) -> list[int]:
    """SmolLM2's tokenizer in a dozen lines: digits, words, bytes, merges by rank; bytes without a token vanish."""
    ids = []
    for piece in regex.split(r"(\p{N})", text):
        for word in GPT2_WORDS.findall(piece):
            parts = [character for character in spell(word.encode()) if character in vocabulary]
            while True:
                ranked = [(ranks[pair], i) for i, pair in enumerate(zip(parts, parts[1:])) if pair in ranks]
                if not ranked:
                    break
                _, i = min(ranked)
                parts[i : i + 2] = [parts[i] + parts[i + 1]]
            ids += [vocabulary[part] for part in parts]
    return ids


def smollm_reference(path: str) -> Tokenizer:
    """SmolLM2's tokenizer as its makers publish it, control tokens in text being text."""
    fields = GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    reference = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    reference.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, types) if kind == 3])
    reference.encode_special_tokens = True
    return reference


def smollm(path: str) -> dict:
    reference = smollm_reference(path)
    ids = [reference.encode(text, add_special_tokens=False).ids for text in strings()]
    vocabulary = reference.get_vocab()
    merges = GGUFReader(path).fields["tokenizer.ggml.merges"].contents()
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(merges)}
    for text, expected in zip(strings(), ids):
        assert plain_smollm(text, vocabulary, ranks) == expected, (text, plain_smollm(text, vocabulary, ranks), expected)
    return {"ids": ids}


def write(result: dict) -> None:
    lines = []
    for key, value in result.items():
        if key == "ids":  # a line for each string
            lines.append('"ids":[\n' + ",\n".join(json.dumps(ids, separators=(",", ":")) for ids in value) + "\n]")
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=False, separators=(',', ':'))}")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["smollm", path]:
            write(smollm(path))
        case ["tekken"]:
            write(tekken(SMALL_CONTROLS + SMALL_RANKS, SMALL_CONTROLS))
        case ["tekken-full"]:
            write(tekken(131072, 1000))
        case ["llama-bpe"]:
            write(llama_bpe())
        case ["spm"]:
            write(spm_goldens(small_spm_model("v3")))
        case ["spm-full", version]:
            write(spm_goldens(spm_model(version)))
        case _:
            sys.exit(__doc__)
