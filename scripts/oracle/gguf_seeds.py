"""Two small files by the reference writer (the `gguf` package), for fuzzing to start from.

    gguf_seeds.py FOLDER
"""
import sys
from pathlib import Path

import numpy
from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter, TokenType
from gguf.quants import quantize

folder = Path(sys.argv[1])
random = numpy.random.default_rng(7)

HIDDEN, HEADS, KV_HEADS, HEAD_DIM, FFN = 32, 1, 1, 32, 64
CONTROLS = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
TOKENS = [*CONTROLS, "x", "y", "z", "xy", "Ġ", "Ġx"]

TEMPLATE = """{{ bos_token }}{% for m in messages %}
{% if m.role == 'user' %}{{ '[INST]' + m.content + '[/INST]' }}
{%- elif m.role == 'system' %}{{ '[SYSTEM_PROMPT]' + m.content + '[/SYSTEM_PROMPT]' }}
{%- else %}{{ m.content + eos_token }}{% endif %}{% endfor %}"""


def write_model() -> None:
    writer = GGUFWriter(folder / "reference-llama.gguf", "llama")
    writer.add_type("model")
    writer.add_name("Reference seed")
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "fr"])
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FFN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_file_type(7)
    writer.add_quantization_version(2)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("tekken")
    writer.add_token_list(TOKENS)
    writer.add_token_types([TokenType.CONTROL if token in CONTROLS else TokenType.NORMAL for token in TOKENS])
    writer.add_token_merges(["x y", "Ġ x"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_chat_template(TEMPLATE)

    def matrix(name: str, rows: int, columns: int, kind: GGMLQuantizationType) -> None:
        weights = random.standard_normal((rows, columns), dtype=numpy.float32)
        writer.add_tensor(name, quantize(weights, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, numpy.ones(HIDDEN, dtype=numpy.float32))

    q8, q4, f16 = GGMLQuantizationType.Q8_0, GGMLQuantizationType.Q4_0, GGMLQuantizationType.F16
    matrix("token_embd.weight", len(TOKENS), HIDDEN, q8)
    norm("blk.0.attn_norm.weight")
    for name, rows, columns, kind in [
        ("attn_q", HEADS * HEAD_DIM, HIDDEN, q4),
        ("attn_k", KV_HEADS * HEAD_DIM, HIDDEN, q4),
        ("attn_v", KV_HEADS * HEAD_DIM, HIDDEN, q8),
        ("attn_output", HIDDEN, HEADS * HEAD_DIM, f16),
        ("ffn_gate", FFN, HIDDEN, q4),
        ("ffn_up", FFN, HIDDEN, q4),
        ("ffn_down", HIDDEN, FFN, q8),
    ]:
        matrix(f"blk.0.{name}.weight", rows, columns, kind)
    norm("blk.0.ffn_norm.weight")
    norm("output_norm.weight")
    matrix("output.weight", len(TOKENS), HIDDEN, q8)
    close(writer)


def write_arrays() -> None:
    writer = GGUFWriter(folder / "reference-arrays.gguf", "none-known")
    writer.add_custom_alignment(128)
    writer.add_array("fuzz.integers", [1, 2, 3])
    writer.add_array("fuzz.strings", ["", "ä", "\U0001f600"])
    writer.add_array("fuzz.floats", [0.5, -1.5])
    writer.add_array("fuzz.bools", [True, False])
    writer.add_key_value("fuzz.unsigned", [2**64 - 1], GGUFValueType.ARRAY, GGUFValueType.UINT64)
    writer.add_array("fuzz.nested", [[1, 2], [3]])
    writer.add_uint64("fuzz.uint64", 2**63)
    writer.add_int64("fuzz.int64", -1)
    writer.add_float64("fuzz.float64", 0.1)
    writer.add_tensor("a", numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4))
    writer.add_tensor("b", numpy.arange(5, dtype=numpy.int8))
    close(writer)


def close(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write_model()
write_arrays()
