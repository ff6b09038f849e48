#!/usr/bin/env python3
"""Token ids of tests/fixtures/tokenizer-strings.json by the reference tokenizers.

usage: tokenizer_goldens.py smollm  SMOLLM2.gguf > tests/fixtures/smollm-ids.json
       tokenizer_goldens.py tekken               > tests/fixtures/tekken-small.json
       tokenizer_goldens.py llama-bpe            > tests/fixtures/llama-bpe-small.json
       tokenizer_goldens.py spm                  > tests/fixtures/spm-small.json
       tokenizer_goldens.py tekken-full          > .cache/tekken-full.json      (whole vocabularies: `npm run test:full`
       tokenizer_goldens.py spm-full v1          > .cache/spm-v1.json            compares with them where they lie)
       tokenizer_goldens.py spm-full v3          > .cache/spm-v3.json

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
import tempfile

import mistral_common
import regex
import tiktoken
from gguf import GGUFReader
from mistral_common.tokens.tokenizers.tekken import SpecialTokenInfo, Tekkenizer
from sentencepiece import SentencePieceProcessor
from sentencepiece.sentencepiece_model_pb2 import ModelProto
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import generate_merges
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "fixtures")
SMALL_RANKS = 5000
SMALL_CONTROLS = 40
V11_CONTROLS = {32: "[ARGS]", 33: "[CALL_ID]"}


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


def data_file(name: str) -> str:
    return os.path.join(os.path.dirname(mistral_common.__file__), "data", name)


def tekken_vocabulary() -> dict:
    with open(data_file("tekken_240911.json"), encoding="utf-8") as file:
        return json.load(file)


def control_tokens(count: int) -> list[SpecialTokenInfo]:
    base = {token["rank"]: token for token in Tekkenizer.DEPRECATED_SPECIAL_TOKENS}
    return [
        base.get(i) or SpecialTokenInfo(rank=i, token_str=V11_CONTROLS.get(i, f"<SPECIAL_{i}>"), is_control=True)
        for i in range(count)
    ]


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


def tekken_from_file(model: dict) -> Tekkenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tekken.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(model, file)
        return Tekkenizer.from_file(path)


def tekken(vocabulary_size: int, control_count: int) -> dict:
    model = tekken_vocabulary()
    controls = control_tokens(control_count)
    model["config"] |= {"default_vocab_size": vocabulary_size, "default_num_special_tokens": control_count}
    ids = None
    for version in ("v3", "v7", "v11", "v13"):
        model["config"]["version"] = version
        model.pop("special_tokens", None)
        if version in ("v11", "v13"):  # older files have no list
            model["special_tokens"] = controls
        reference = tekken_from_file(model)
        found = [reference.encode(text, bos=False, eos=False) for text in strings()]
        assert ids is None or found == ids, version
        ids = found
    ranks = {base64.b64decode(token["token_bytes"]): token["rank"] for token in model["vocab"][: vocabulary_size - control_count]}
    return {**as_gguf("tekken", controls, ranks), "ids": ids}


def spm_model(version: str) -> ModelProto:
    names = {"v1": "tokenizer.model.v1", "v3": "mistral_instruct_tokenizer_240323.model.v3"}
    model = ModelProto()
    with open(data_file(names[version]), "rb") as file:
        model.ParseFromString(file.read())
    return model


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
SMALL_SPM_CONTROLS = 20
SMALL_SPM_MERGED = 3500
SMALL_SPM_CHARACTERS = 800


def cut_spm(model: ModelProto) -> None:
    """Leaves the pieces for a small vocabulary, in their order; ids are their places."""
    pieces = list(model.pieces)
    merged = [piece for piece in pieces if piece.type == NORMAL and len(piece.piece) > 1][:SMALL_SPM_MERGED]
    characters = [piece for piece in pieces if piece.type == NORMAL and len(piece.piece) == 1]
    needed = {character for piece in merged for character in piece.piece}
    needed |= {piece.piece for piece in characters[:SMALL_SPM_CHARACTERS]}
    kept = {piece.piece for piece in merged} | needed
    controls = [piece.piece for piece in pieces if piece.type == CONTROL]
    kept |= set(controls[:SMALL_SPM_CONTROLS])
    kept |= {piece.piece for piece in pieces if piece.type in (UNKNOWN, USER_DEFINED, BYTE)}
    del model.pieces[:]
    model.pieces.extend(piece for piece in pieces if piece.piece in kept)
    for field in ("control_symbols", "user_defined_symbols"):  # the trainer's lists; the pieces' types say the same
        model.trainer_spec.ClearField(field)
    model.trainer_spec.vocab_size = len(model.pieces)


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
            model = spm_model("v3")
            cut_spm(model)
            write(spm_goldens(model))
        case ["spm-full", version]:
            write(spm_goldens(spm_model(version)))
        case _:
            sys.exit(__doc__)
