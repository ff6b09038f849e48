"""Vocabularies of mistral-common's package, whole or cut to a size that can be a fixture, in every version."""
import json
import os
import tempfile

import mistral_common
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.tekken import SpecialTokenInfo, Tekkenizer
from sentencepiece.sentencepiece_model_pb2 import ModelProto

SMALL_RANKS = 5000
SMALL_CONTROLS = 40
V11_CONTROLS = {32: "[ARGS]", 33: "[CALL_ID]"}


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


def tekken_model(version: str, size: int = 131072, control_count: int = 1000) -> dict:
    """A tekken.json: the first ranks, after `control_count` control tokens. Versions before v11 list none."""
    model = tekken_vocabulary()
    model["config"] |= {"version": version, "default_vocab_size": size, "default_num_special_tokens": control_count}
    if version in ("v11", "v13"):
        model["special_tokens"] = control_tokens(control_count)
    return model


def small_tekken_model(version: str) -> dict:
    return tekken_model(version, SMALL_CONTROLS + SMALL_RANKS, SMALL_CONTROLS)


def load_tekken(model: dict) -> MistralTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tekken.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(model, file)
        return MistralTokenizer.from_file(path)


def spm_model(version: str) -> ModelProto:
    names = {
        "v1": "tokenizer.model.v1",
        "v3": "mistral_instruct_tokenizer_240323.model.v3",
        "v7": "mistral_instruct_tokenizer_241114.model.v7",
    }
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


def small_spm_model(version: str) -> ModelProto:
    model = spm_model(version)
    cut_spm(model)
    return model


def load_spm(model: ModelProto, version: str) -> MistralTokenizer:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"tokenizer.model.{version}")
        with open(path, "wb") as file:
            file.write(model.SerializeToString())
        return MistralTokenizer.from_file(path)
