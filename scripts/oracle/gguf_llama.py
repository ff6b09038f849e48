"""A GGUF of the Llama family as a transformers model, its quantised blocks expanded to float32 by the `gguf` package."""
import numpy
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import LlamaForCausalLM, MistralConfig, MistralForCausalLM, PreTrainedModel
from transformers.models.llama.configuration_llama import LlamaConfig

LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def unpermute(weight: numpy.ndarray, heads: int) -> numpy.ndarray:
    """From llama.cpp's row order (pairs side by side) to Hugging Face's (halves): the inverse of its `permute`."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def load(path: str, family: str = "llama") -> PreTrainedModel:
    """The model in float32. `family`: transformers' "llama" or "mistral" code; for these files they compute the same."""
    reader = GGUFReader(path)
    weights = {
        tensor.name: torch.from_numpy(numpy.array(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32))
        for tensor in reader.tensors
    }
    get = lambda key, default=None: reader.fields[f"llama.{key}"].contents() if f"llama.{key}" in reader.fields else default
    heads, kv_heads = get("attention.head_count"), get("attention.head_count_kv")
    config_class, model_class = {"llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}[family]
    config = config_class(
        hidden_size=get("embedding_length"),
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=get("attention.key_length", get("embedding_length") // heads),
        vocab_size=get("vocab_size"),
        rms_norm_eps=get("attention.layer_norm_rms_epsilon"),
        max_position_embeddings=get("context_length"),
        rope_parameters={"rope_type": "default", "rope_theta": get("rope.freq_base")},
        tie_word_embeddings="output.weight" not in weights,
        attn_implementation="sdpa",
        **({"sliding_window": None} if family == "mistral" else {}),
    )
    state = {"model.embed_tokens.weight": weights["token_embd.weight"], "model.norm.weight": weights["output_norm.weight"]}
    if "output.weight" in weights:
        state["lm_head.weight"] = weights["output.weight"]
    for layer in range(config.num_hidden_layers):
        for source, target in LAYER_NAMES.items():
            weight = weights[f"blk.{layer}.{source}.weight"]
            if source in ("attn_q", "attn_k"):
                weight = torch.from_numpy(unpermute(weight.numpy(), heads if source == "attn_q" else kv_heads).copy())
            state[f"model.layers.{layer}.{target}.weight"] = weight
    model = model_class(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert unexpected == [] and missing == (["lm_head.weight"] if config.tie_word_embeddings else []), (missing, unexpected)
    model.tie_weights()
    return model.eval()


def to_float64(model: PreTrainedModel) -> PreTrainedModel:
    """The same model all in float64: transformers computes norms and rotary angles in float32 whatever the weights are."""
    model.double()

    def rotary(self, x, position_ids):
        width = self.config.head_dim
        theta = self.config.rope_parameters["rope_theta"]
        frequencies = theta ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
        angles = position_ids[:, :, None].double() * frequencies
        both = torch.cat((angles, angles), dim=-1)
        return both.cos(), both.sin()

    def norm(self, x):
        return self.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.variance_epsilon))

    for module in model.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            module.forward = rotary.__get__(module)
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = norm.__get__(module)
    return model
