"""Every causal language model architecture of the installed transformers, tiny and with random weights.

A configuration is the library's default with small sizes (`LARGEST`) and one layer of each of its kinds. `OVERRIDES`
has what that does not get right, and what checkpoints have although the default is without. Windows are wider than any
test's prompt, as are the numbers of tokens that a sparse attention selects.
"""

from dataclasses import fields, is_dataclass

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

_SIZES = {
    1: "topk_group n_shared_experts num_shared_experts moe_num_shared_experts num_dense_layers first_k_dense_replace",
    2: """num_key_value_heads num_kv_heads kv_n_heads swa_num_key_value_heads linear_num_key_heads index_n_heads
        num_experts_per_tok moe_topk moe_top_k moe_k zero_expert_num n_group n_groups mamba_n_groups mamba_ngroups
        n_mamba_heads o_groups""",
    3: "num_hidden_layers n_layer n_layers num_layers encoder_layers decoder_layers num_blocks",
    4: """num_attention_heads n_head n_heads num_heads attention_heads encoder_attention_heads decoder_attention_heads
        swa_num_attention_heads linear_num_heads linear_num_value_heads num_experts num_local_experts n_routed_experts
        moe_num_experts laurel_rank""",
    8: """head_dim v_head_dim qk_nope_head_dim qk_rope_head_dim swa_head_dim index_head_dim linear_head_dim kv_channels
        linear_key_head_dim linear_value_head_dim rotary_dim d_rel state_size ssm_state_size mamba_d_state mamba_d_head
        mamba_head_dim mamba_n_heads mamba_num_heads gated_norm_rank hidden_size_per_layer_input router_hidden_size""",
    16: "q_lora_rank kv_lora_rank o_lora_rank time_step_rank mamba_dt_rank hc_lowrank",
    32: """hidden_size d_model n_embd emb_dim embedding_size embedding_dim word_embed_proj_dim input_embedding_size
        output_embedding_size pronunciation_embed_dim shape_embed_dim lru_width dim_model_base hidden_size_global
        out_hidden_size adapter_in_dim adapter_out_dim adapter_input_size""",
    64: """intermediate_size intermediate_size_mlp dense_intermediate_size moe_intermediate_size n_inner dff mamba_d_ssm
        shared_intermediate_size shared_expert_intermediate_size shared_experts_intermediate_size ffn_dim
        moe_shared_expert_intermediate_size ffn_hidden_size expert_ffn_hidden_size encoder_ffn_dim decoder_ffn_dim""",
    500: "encoder_hash_byte_group_vocab",
}
LARGEST = {name: size for size, names in _SIZES.items() for name in names.split()}
LEAST = dict.fromkeys(["max_position_embeddings", "max_target_positions", "n_positions", "max_seq_len"], 1024)
LEAST |= dict.fromkeys(["sliding_window", "sliding_window_size", "attention_window_size"], 4096)
LEAST |= {"local_attention_window_len": 4096, "logit_scale": 1.0}
WHERE_NONE = {"head_dim": 8, "num_key_value_heads": 2}
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "sep_token_id": 2, "cls_token_id": 1}
TOKENS |= {"decoder_start_token_id": 1, "forced_eos_token_id": 2}

BOTH = {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2}
TWICE = {"layer_types": BOTH["layer_types"] * 2, "num_hidden_layers": 4}
HYBRID = {"layers_block_type": ["linear_attention", "hybrid"] * 2, "num_hidden_layers": 4}
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
WINDOWED_LATENTS = {"num_attention_heads": 2, "num_key_value_heads": 2, "q_lora_rank": 8, "kv_lora_rank": 8}
WINDOWED_LATENTS |= {"head_dim": 16, "qk_nope_head_dim": 8, "v_head_dim": 8}
DOTS3 = {f"swa_{name}": value for name, value in WINDOWED_LATENTS.items()}
GEMMA4 = {"global_head_dim": 16}
GEMMA4_EXPERTS = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 64}
LLAMA4 = {
    "num_hidden_layers": 2,
    "layer_types": ["chunked_attention", "full_attention"],
    "no_rope_layers": [1, 0],
    "moe_layers": [1],
}
MINIMAX_M3 = {"layer_types": ["full_attention", "minimax_m3_sparse"], "mlp_layer_types": ["dense", "sparse"]}
PHI3 = {"rope_type": "longrope", "rope_theta": 10000.0, "factor": 32.0, "original_max_position_embeddings": 4096}
PHI3 |= {"short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [1.0, 2.0, 4.0, 8.0]}
QWEN4 = {"indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 2048}
QWEN4 |= {"indexer_compress_ratio": 4, "ple_layer_ids": [1], "ple_embed_dim": 32, "heads_per_ngram": 2}
QWEN4 |= {"ngram_vocab_size_base": 500, "split_ngram_parts": 1, "eos_token_id": 2}

OVERRIDES = {
    "bamba": {"attn_layer_indices": [1]},
    "big_bird": {"attention_type": "original_full"},
    "blenderbot": {"encoder_layers": 3},  # by whose number the decoder sizes its cache
    "cohere_compass_text": BOTH | {"rope_parameters": {"sliding_attention": ROPE, "full_attention": None}},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8}},
    "deepseek_v2": {"num_experts_per_tok": 2, "topk_method": "group_limited_greedy", "n_group": 2, "topk_group": 1},
    "deepseek_v4": {"compress_rates": {"compressed_sparse_attention": 4, "heavily_compressed_attention": 16}},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "first_k_dense_replace": 1},
    "dots3_note": {"text_config": DOTS3},
    "dots3_note_text": DOTS3,
    "flint": {"mlp_only_layers": [0]},
    "gemma3n_text": {"num_kv_shared_layers": 2},
    "gemma4": {"text_config": GEMMA4 | GEMMA4_EXPERTS | {"attention_k_eq_v": True, "num_global_key_value_heads": 1}},
    "gemma4_text": GEMMA4 | TWICE | {"num_kv_shared_layers": 2, "use_double_wide_mlp": True},
    "gemma4_unified": {"text_config": GEMMA4},
    "gemma4_unified_text": GEMMA4,
    "gpt_neo": {"num_layers": 2, "attention_types": [[["global", "local"], 1]], "window_size": 2048},
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"], "num_hidden_layers": 2},
    "hrm_text": {"num_hidden_layers": 1, "initializer_range": 0.3},  # from which it scales its embeddings
    "hunyuan_v1_moe": {"num_experts": 4, "moe_topk": 2},
    "inkling_text": {"logits_mup_width_multiplier": 1.0},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 1, "expert_layer_offset": 0},
    "laguna": BOTH | {"num_attention_heads_per_layer": [4, 8]},
    "lfm2": {"layer_types": ["conv", "full_attention"], "num_hidden_layers": 2},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv"]},
    "llama4": {"text_config": LLAMA4},
    "llama4_text": LLAMA4,
    "mamba2": {"num_heads": 8},
    "mellum": BOTH,
    "minimax_m3_vl_text": MINIMAX_M3,
    "mllama": {"text_config": {"cross_attention_layers": [1]}},
    "modernbert-decoder": {"local_attention": 8192},
    "phi3": {"rope_parameters": PHI3, "max_position_embeddings": 131072},
    "qwen4_exp": {"text_config": QWEN4},
    "qwen4_exp_text": QWEN4,
    "xlm": {"causal": True},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},  # it rounds its heads' sizes up to these
    "xmod": {"default_language": "en_XX"},
    "zamba": HYBRID,
    "zamba2": HYBRID,
    "zaya": {"num_experts_per_tok": 1},
}
NOT_BUILT = {
    "cpmant": "not causal",
    "gemma3n": "needs the package timm for images; its text part is gemma3n_text",
    "gemma4_assistant": "drafts from the states of another model",
    "gemma4_unified_assistant": "drafts from the states of another model",
    "musicgen": "writes codes of sound",
    "musicgen_melody": "writes codes of sound",
    "prophetnet": "not causal: relative positions take other positions' states",
    "reformer": "not causal beyond a chunk: tokens are sorted into buckets with later ones",
    "xlnet": "not causal",
}


def names():
    """Model types that `build` knows, in the library's order."""
    return [name for name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if name not in NOT_BUILT]


def build(name, vocab_size):
    """The model of a type, in float32 and for inference, with the same random weights each time."""
    torch.manual_seed(0)
    config = tiny(CONFIG_MAPPING[name], vocab_size, OVERRIDES.get(name, {}))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for weight in model.parameters():
            # Norms, biases, sinks and gates begin as zeros or ones, at which some switch off what they belong to.
            if (weight == weight.flatten()[0]).all():
                weight += 0.1 * torch.randn_like(weight)
            elif weight.dim() > 1:  # not every class lets its configuration say how far its weights spread
                weight *= max(1.0, 0.3 / weight.std().item())
    return model


def tiny(kind, vocab_size, wanted):
    """A small configuration of a class, with what is wanted of it and of the configurations in it."""
    default = kind()
    # Read past the attributes, as one that differs between layers may not be asked for.
    values = {field.name: vars(default).get(kind.attribute_map.get(field.name, field.name)) for field in fields(kind)}
    settings = one_of_each_layer(getattr(default, "num_hidden_layers", None), values)
    for name, value in values.items():
        if is_dataclass(value):
            settings[name] = tiny(type(value), vocab_size, wanted.get(name, {}))
        elif value is None and name in WHERE_NONE:
            settings[name] = WHERE_NONE[name]
        elif value is not None and name in TOKENS:
            settings[name] = TOKENS[name]
        elif value is not None and name in LEAST:
            settings[name] = max(value, LEAST[name])
        elif type(value) is int and name in LARGEST:
            settings.setdefault(name, min(value, LARGEST[name]))
        elif value and name.startswith("vocab_size"):
            settings[name] = vocab_size
    if values.get("kv_lora_rank"):  # each head has keys of its own, made from the latents
        settings["num_key_value_heads"] = settings["num_attention_heads"]
    if "is_decoder" in values:
        settings["is_decoder"] = True
    return kind(**settings | {name: value for name, value in wanted.items() if not is_dataclass(values.get(name))})


def one_of_each_layer(count, values):
    """Settings that are lists with a value for each layer, of the first layer of each kind (two, if all are alike)."""
    lists = {name: value for name, value in values.items() if isinstance(value, list) and len(value) == count}
    lists = {name: value for name, value in lists.items() if value != list(range(count))}  # those are layers' numbers
    if not lists:
        return {}
    first = {}
    for layer, kind in enumerate(zip(*lists.values(), strict=True)):
        first.setdefault(kind, layer)
    kept = list(first.values()) if len(first) > 1 else [0, 1]
    settings = {name: [value[layer] for layer in kept] for name, value in lists.items()}
    for name in LARGEST.keys() & settings.keys():
        settings[name] = [min(value, LARGEST[name]) for value in settings[name]]
    return settings | {"num_hidden_layers": len(kept)}
