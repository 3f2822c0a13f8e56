"""Models whose config.json and number of parameters are published, and where: what proves the architectures.

`shape_source` says where the values of config.json are stated; one that it does not state is the one with which the
number comes out. `count_source` says where the number of parameters is stated: of those that the engine loads, without
layers that draft tokens.
"""

from typing import Any, NamedTuple

# Where the values stand that several models share; a version after `@` is the commit that was read.
_HUB = "huggingface.co/"
_MLC = "github.com/mlc-ai/mlc-llm@01ced33 python/mlc_llm/model/model_preset.py:"
_KAITO = "github.com/kaito-project/kaito@037fb35 presets/workspace/models/model_catalog.yaml:"
_SLIME = "github.com/THUDM/slime"
_KERAS = "github.com/keras-team/keras-hub keras_hub/src/models"
# The numbers that the model hub's interface gives, as a public program collected them.
_LLMFIT = "github.com/AlexsJones/llmfit@026ac57 llmfit-core/data/hf_models.json:"
_LLMFIT_ALL = "github.com/AlexsJones/llmfit@4d3ab0e data/hf_models.json:"
# tests/engine/test_published_models.py repeats this count for every architecture that Transformers has.
_TRANSFORMERS = "the weights of Transformers' model class (5.19.0) with this file"
_DEFAULTS = "the defaults of Transformers' configuration class (5.19.0)"


class Published(NamedTuple):
    """A repository of the model hub: its config.json, its parameters, and the sources of both."""

    config: dict[str, Any]
    params: int
    shape_source: str
    count_source: str


_NEMOTRON_8B = "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-"
_NANO = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"


def _c(  # noqa: PLR0917 - in the order of the usual tables
    arch: str, hidden: int, layers: int, heads: int, kv: int, inner: int | None, vocab: int, **more: Any
) -> dict[str, Any]:
    shape = {
        "architectures": [arch] if arch else None,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": inner,
        "vocab_size": vocab,
    }
    return {key: value for key, value in shape.items() if value is not None} | more


_TIED = {"tie_word_embeddings": True}
_DELTA = {
    "head_dim": 256,
    "full_attention_interval": 4,
    "linear_num_key_heads": 16,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_conv_kernel_dim": 4,
}
_LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
_QWEN25_VL = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584}
_QWEN35_VL = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304}
_QWEN3_VL = _QWEN35_VL | {"deepstack_visual_indexes": [8, 16, 24]}
_SIGLIP = {
    "hidden_size": 1152,
    "image_size": 896,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": 27,
    "patch_size": 14,
    "vision_use_head": False,
}

PUBLISHED: dict[str, Published] = {
    "Qwen/Qwen2.5-0.5B-Instruct": Published(
        _c("Qwen2ForCausalLM", 896, 24, 14, 2, 4864, 151936, **_TIED),
        494_032_768,
        f"{_MLC} qwen2_0_5b (Qwen2 has the same shape)",
        _LLMFIT,
    ),
    "Qwen/Qwen2.5-14B-Instruct": Published(
        _c("Qwen2ForCausalLM", 5120, 48, 40, 8, 13824, 152064),
        14_770_033_664,
        f"{_KAITO} DeepSeek-R1-Distill-Qwen-14B, which has its shape: no inner width and vocabulary",
        f"{_LLMFIT} Qwen2.5-Coder-14B-Instruct; {_KAITO} 27.51Gi",
    ),
    "Qwen/Qwen2.5-72B-Instruct": Published(
        _c("Qwen2ForCausalLM", 8192, 80, 64, 8, 29568, 152064),
        72_706_203_648,
        "tierup/catalog/models.yaml: qwen2.5-72b",
        _LLMFIT,
    ),
    "Qwen/Qwen3-4B": Published(
        _c("Qwen3ForCausalLM", 2560, 36, 32, 8, 9728, 151936, head_dim=128, **_TIED),
        4_022_468_096,
        f"{_MLC} qwen3_4b",
        f"{_KERAS}/qwen3/qwen3_presets.py",
    ),
    "Qwen/Qwen3-32B": Published(
        _c("Qwen3ForCausalLM", 5120, 64, 64, 8, 25600, 151936, head_dim=128),
        32_762_123_264,
        "gitcode.com/Ascend/MindSpeed-RL configs/model/qwen3_32b.yaml",
        f"{_KERAS}/qwen3/qwen3_presets.py",
    ),
    "Qwen/Qwen3-30B-A3B": Published(
        _c(
            "Qwen3MoeForCausalLM",
            2048,
            48,
            32,
            4,
            6144,
            151936,
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
        ),
        30_532_122_624,
        "github.com/zyzshishui/slime@e0be9a0 scripts/models/qwen3-30B-A3B.sh",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": Published(
        _c(
            "Qwen3MoeForCausalLM",
            2048,
            48,
            32,
            4,
            5472,
            151936,
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=768,
        ),
        30_532_122_624,
        "github.com/ztxz16/fastllm@f8f04c3 Qwen3-Coder-30B-A3B-Instruct/config.json",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-Embedding-0.6B": Published(
        _c("Qwen3ForCausalLM", 1024, 28, 16, 8, 3072, 151669, head_dim=128, **_TIED),
        595_776_512,
        f"{_HUB}Qwen/Qwen3-Embedding-0.6B/blob/97b0c614be4d77ee51c0cef4e5f07c00f9eb65b3/config.json",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-235B-A22B": Published(
        _c(
            "Qwen3MoeForCausalLM",
            4096,
            94,
            64,
            4,
            12288,
            151936,
            head_dim=128,
            num_experts=128,
            num_experts_per_tok=8,
            moe_intermediate_size=1536,
        ),
        235_093_634_560,
        "github.com/zyzshishui/slime scripts/models/qwen3-235B-A22B.sh",
        _LLMFIT,
    ),
    "Qwen/Qwen1.5-MoE-A2.7B": Published(
        _c(
            "Qwen2MoeForCausalLM",
            2048,
            24,
            16,
            16,
            5632,
            151936,
            num_experts=60,
            num_experts_per_tok=4,
            moe_intermediate_size=1408,
            shared_expert_intermediate_size=5632,
        ),
        14_315_784_192,
        f"{_DEFAULTS}; {_MLC} qwen2moe",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": Published(
        _c(
            "Qwen3NextForCausalLM",
            2048,
            48,
            16,
            2,
            5120,
            151936,
            num_experts=512,
            num_experts_per_tok=10,
            moe_intermediate_size=512,
            shared_expert_intermediate_size=512,
            linear_num_value_heads=32,
            **_DELTA,
        ),
        79_674_391_296,
        f"{_DEFAULTS}; {_SLIME}@af61a8e scripts/models/qwen3-next-80B-A3B.sh",
        f"{_LLMFIT} 81,324,862,720, of which 1,650,471,424 draft tokens",
    ),
    "Qwen/Qwen3.5-27B": Published(
        {
            "architectures": ["Qwen3_5ForConditionalGeneration"],
            "text_config": _c("", 5120, 64, 24, 4, 17408, 248320, linear_num_value_heads=48, **_DELTA),
            "vision_config": {**_QWEN35_VL, "out_hidden_size": 5120},
        },
        27_356_728_560,
        f"{_SLIME} scripts/models/qwen3.5-27B.sh; {_HUB}MooreThreads/MusaCoder-27B/blob/main/config.json",
        f"{_LLMFIT} 27,781,427,952, of which 424,699,392 draft tokens",
    ),
    "Qwen/Qwen3.5-35B-A3B": Published(
        {
            "architectures": ["Qwen3_5MoeForConditionalGeneration"],
            "text_config": _c(
                "",
                2048,
                40,
                16,
                2,
                None,
                248320,
                num_experts=256,
                num_experts_per_tok=8,
                moe_intermediate_size=512,
                shared_expert_intermediate_size=512,
                linear_num_value_heads=32,
                **_DELTA,
            ),
            "vision_config": {**_QWEN35_VL, "out_hidden_size": 2048},
        },
        35_107_181_936,
        f"{_DEFAULTS}; {_SLIME}@10cefc3 scripts/models/qwen3.5-35B-A3B.sh",
        f"{_LLMFIT} 35,951,822,704, of which 844,640,768 draft tokens",
    ),
    "Qwen/Qwen2-VL-7B-Instruct": Published(
        _c(
            "Qwen2VLForConditionalGeneration",
            3584,
            28,
            28,
            4,
            18944,
            152064,
            vision_config={"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "hidden_size": 3584},
        ),
        8_291_375_616,
        f"{_HUB}Qwen/Qwen2-VL-7B-Instruct-GPTQ-Int8/blame/34bb8e5bd295cb6f3e32ec0d5f337f68e8f90023/config.json; "
        f"{_HUB}menglc/DFN-Huge-Qwen2VL-7B/blob/main/config.json (its tower)",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Published(
        _c("Qwen2_5_VLForConditionalGeneration", 3584, 28, 28, 4, 18944, 152064, vision_config=_QWEN25_VL),
        8_292_166_656,
        f"{_HUB}Qwen/Qwen2.5-VL-7B-Instruct-AWQ/blame/main/config.json; {_DEFAULTS} (its tower)",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Published(
        {
            "architectures": ["Qwen3VLForConditionalGeneration"],
            "text_config": _c("", 4096, 36, 32, 8, 12288, 151936, head_dim=128),
            "vision_config": {**_QWEN3_VL, "out_hidden_size": 4096},
        },
        8_767_123_696,
        f"{_HUB}Steinate/Cortex/blame/main/config.json; "
        "ollama.com/library/qwen3-vl:8b-instruct-q8_0/blobs/4768dcaebbaf; "
        f"{_DEFAULTS} (its tower)",
        _TRANSFORMERS,
    ),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": Published(
        {
            "architectures": ["Qwen3VLMoeForConditionalGeneration"],
            "text_config": _c(
                "",
                2048,
                48,
                32,
                4,
                6144,
                151936,
                head_dim=128,
                num_experts=128,
                num_experts_per_tok=8,
                moe_intermediate_size=768,
            ),
            "vision_config": {**_QWEN3_VL, "out_hidden_size": 2048},
        },
        31_070_754_032,
        f"{_SLIME}@dfdf8e3 scripts/models/qwen3-vl-30b-a3b.sh; {_DEFAULTS} (its tower)",
        _TRANSFORMERS,
    ),
    "meta-llama/Llama-2-7b-hf": Published(
        _c("LlamaForCausalLM", 4096, 32, 32, 32, 11008, 32000),
        6_738_415_616,
        f"{_DEFAULTS}; {_MLC} llama2_7b",
        _TRANSFORMERS,
    ),
    "meta-llama/Llama-3.1-8B-Instruct": Published(
        _c("LlamaForCausalLM", 4096, 32, 32, 8, 14336, 128256),
        8_030_261_248,
        f"{_MLC} llama3_1_8b",
        _LLMFIT_ALL,
    ),
    "meta-llama/Llama-3.3-70B-Instruct": Published(
        _c("LlamaForCausalLM", 8192, 80, 64, 8, 28672, 128256),
        70_553_706_496,
        f"{_KAITO}; {_MLC} llama3_1_70b, which has its shape",
        f"{_KAITO} 131.42Gi; {_LLMFIT} Llama-3.1-70B-Instruct",
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": Published(
        _c("MistralForCausalLM", 4096, 32, 32, 8, 14336, 32768),
        7_248_023_552,
        f"{_MLC} mistral_7b_v03",
        _LLMFIT,
    ),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": Published(
        _c("MixtralForCausalLM", 4096, 32, 32, 8, 14336, 32000, num_local_experts=8, num_experts_per_tok=2),
        46_702_792_704,
        f"{_DEFAULTS}; {_MLC} Mixtral-8x7B-v0.1",
        _LLMFIT,
    ),
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": Published(
        {
            "architectures": ["Mistral3ForConditionalGeneration"],
            "text_config": _c("", 5120, 40, 32, 8, 32768, 131072, head_dim=128),
            "vision_config": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
        },
        24_011_361_280,
        f"{_HUB}mistralai/Mistral-Small-3.1-24B-Instruct-2503/blob/main/config.json",
        f"{_KERAS}/mistral3/mistral3_presets.py",
    ),
    "Qwen/Qwen-7B-Chat": Published(
        _c("QWenLMHeadModel", 4096, 32, 32, 32, 22016, 151936, model_type="qwen"),
        7_721_324_544,
        "tierup/catalog/models.yaml: qwen-7b",
        f"{_LLMFIT_ALL} Qwen-7B",
    ),
    "google/gemma-2b": Published(
        _c("GemmaForCausalLM", 2048, 18, 8, 1, 16384, 256000, head_dim=256),
        2_506_172_416,
        f"{_MLC} gemma_2b",
        _TRANSFORMERS,
    ),
    "google/gemma-2-9b-it": Published(
        _c("Gemma2ForCausalLM", 3584, 42, 16, 8, 14336, 256000, head_dim=256, sliding_window=4096),
        9_241_705_984,
        f"{_MLC} gemma2_9b",
        _LLMFIT,
    ),
    "google/gemma-3-1b-it": Published(
        _c("Gemma3ForCausalLM", 1152, 26, 4, 1, 6912, 262144, head_dim=256, sliding_window=512),
        999_885_952,
        f"{_MLC} gemma3_1b_it",
        _TRANSFORMERS,
    ),
    "google/gemma-3-12b-it": Published(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "text_config": {
                "hidden_size": 3840,
                "intermediate_size": 15360,
                "num_attention_heads": 16,
                "num_hidden_layers": 48,
                "num_key_value_heads": 8,
                "sliding_window": 1024,
            },
            "vision_config": _SIGLIP,
        },
        12_187_325_040,
        f"{_HUB}unsloth/gemma-3-12b-it-GGUF/blame/main/config.json",
        _TRANSFORMERS,
    ),
    "google/gemma-3-27b-it": Published(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "text_config": {
                "head_dim": 128,
                "hidden_size": 5376,
                "intermediate_size": 21504,
                "num_attention_heads": 32,
                "num_hidden_layers": 62,
                "num_key_value_heads": 16,
                "sliding_window": 1024,
            },
            "vision_config": _SIGLIP,
        },
        27_432_406_640,
        f"{_HUB}btly/hewo/blob/main/config.json; {_KAITO}",
        _LLMFIT,
    ),
    "openai/gpt-oss-20b": Published(
        _c(
            "GptOssForCausalLM",
            2880,
            24,
            64,
            8,
            2880,
            201088,
            head_dim=64,
            num_local_experts=32,
            num_experts_per_tok=4,
            sliding_window=128,
        ),
        20_914_757_184,
        "docs.nvidia.com/nemo/megatron-bridge/latest/models/llm/gpt-oss.html",
        _TRANSFORMERS,
    ),
    "openai/gpt-oss-120b": Published(
        _c(
            "GptOssForCausalLM",
            2880,
            36,
            64,
            8,
            2880,
            201088,
            head_dim=64,
            num_local_experts=128,
            num_experts_per_tok=4,
            sliding_window=128,
        ),
        116_829_156_672,
        f"{_DEFAULTS}; docs.nvidia.com/nemo/megatron-bridge/latest/models/llm/gpt-oss.html",
        _TRANSFORMERS,
    ),
    "deepseek-ai/DeepSeek-V2-Lite": Published(
        _c(
            "DeepseekV2ForCausalLM",
            2048,
            27,
            16,
            16,
            10944,
            102400,
            n_routed_experts=64,
            n_shared_experts=2,
            num_experts_per_tok=6,
            moe_intermediate_size=1408,
            first_k_dense_replace=1,
            q_lora_rank=None,
            **_LATENT,
        ),
        15_706_484_224,
        f"{_MLC} deepseek_v2_lite",
        _TRANSFORMERS,
    ),
    "deepseek-ai/DeepSeek-V3": Published(
        _c(
            "DeepseekV3ForCausalLM",
            7168,
            61,
            128,
            128,
            18432,
            129280,
            n_routed_experts=256,
            n_shared_experts=1,
            num_experts_per_tok=8,
            moe_intermediate_size=2048,
            first_k_dense_replace=3,
            q_lora_rank=1536,
            num_nextn_predict_layers=1,
            **_LATENT,
        ),
        671_026_404_352,
        f"{_DEFAULTS}; {_KAITO} DeepSeek-V3-0324",
        f"{_TRANSFORMERS}; github.com/deepseek-ai/DeepSeek-R1 README.md: 671B",
    ),
    "zai-org/GLM-4.5-Air": Published(
        _c(
            "Glm4MoeForCausalLM",
            4096,
            46,
            96,
            8,
            10944,
            151552,
            head_dim=128,
            n_routed_experts=128,
            n_shared_experts=1,
            num_experts_per_tok=8,
            moe_intermediate_size=1408,
            first_k_dense_replace=1,
        ),
        106_851_586_048,
        f"{_HUB}PrimeIntellect/INTELLECT-3-Base/blob/main/config.json, trained from its base",
        f"{_TRANSFORMERS}; {_HUB}docs/transformers/en/model_doc/glm4_moe: 106 billion",
    ),
    "MiniMaxAI/MiniMax-M2": Published(
        _c(
            "MiniMaxM2ForCausalLM",
            3072,
            62,
            48,
            8,
            1536,
            200064,
            head_dim=128,
            num_local_experts=256,
            num_experts_per_tok=8,
        ),
        228_689_748_992,
        f"{_DEFAULTS}; {_HUB}QuixiAI/MiniMax-M2.1-bf16/blob/main/config.json, which has its shape",
        _TRANSFORMERS,
    ),
    "ibm-granite/granite-3.1-8b-instruct": Published(
        _c("GraniteForCausalLM", 4096, 40, 32, 8, 12800, 49155, **_TIED),
        8_170_848_256,
        f"{_HUB}ibm-granite/granite-3.1-8b-instruct/blame/96fedcdf5764b7e36d2737d129bc07caff913e72/config.json",
        _TRANSFORMERS,
    ),
    "ibm-granite/granite-4.0-h-small": Published(
        _c(
            "GraniteMoeHybridForCausalLM",
            4096,
            40,
            32,
            8,
            768,
            100352,
            num_local_experts=72,
            num_experts_per_tok=10,
            shared_intermediate_size=1536,
            mamba_n_heads=128,
            mamba_d_head=64,
            mamba_d_state=128,
            mamba_n_groups=1,
            mamba_d_conv=4,
            layer_types=["attention" if layer % 10 == 5 else "mamba" for layer in range(40)],
        ),
        32_207_337_984,
        "ollama.com/ibm/granite4:small-h-q6_K/blobs/a15d0868faf9",
        _TRANSFORMERS,
    ),
    "nvidia/Nemotron-H-8B-Base-8K": Published(
        _c(
            "NemotronHForCausalLM",
            4096,
            52,
            32,
            8,
            21504,
            131072,
            attention_head_dim=128,
            mamba_num_heads=128,
            mamba_head_dim=64,
            n_groups=8,
            ssm_state_size=128,
            conv_kernel=4,
            hybrid_override_pattern=_NEMOTRON_8B,
        ),
        8_100_852_736,
        "github.com/NVIDIA-NeMo/Megatron-Bridge@89e822c docs/models/llm/nemotronh.md",
        f"{_TRANSFORMERS}; the same page: 8B",
    ),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": Published(
        _c(
            "NemotronHForCausalLM",
            2688,
            52,
            32,
            2,
            1856,
            131072,
            head_dim=128,
            mamba_num_heads=64,
            mamba_head_dim=64,
            n_groups=8,
            ssm_state_size=128,
            conv_kernel=4,
            n_routed_experts=128,
            num_experts_per_tok=6,
            moe_intermediate_size=1856,
            n_shared_experts=1,
            moe_shared_expert_intermediate_size=3712,
            hybrid_override_pattern=_NANO,
        ),
        31_577_937_344,
        f"{_SLIME}@46772ae scripts/models/nemotron-nano-30B-A3B.sh",
        f"{_KAITO} 58.82Gi",
    ),
    "microsoft/phi-4": Published(
        _c("Phi3ForCausalLM", 5120, 40, 40, 10, 17920, 100352),
        14_659_507_200,
        f"{_KAITO}: no inner width and vocabulary",
        f"{_KAITO} 27.31Gi; github.com/padiazg/ollama-tools README.md",
    ),
    "microsoft/Phi-3-mini-128k-instruct": Published(
        _c("Phi3ForCausalLM", 3072, 32, 32, 32, 8192, 32064),
        3_821_079_552,
        f"{_DEFAULTS}; {_KAITO}",
        f"{_KAITO} 7.12Gi",
    ),
    "CohereForAI/c4ai-command-r-v01": Published(
        _c("CohereForCausalLM", 8192, 40, 64, 64, 22528, 256000),
        34_980_831_232,
        _DEFAULTS,
        _TRANSFORMERS,
    ),
    "CohereForAI/c4ai-command-r7b-12-2024": Published(
        _c(
            "Cohere2ForCausalLM",
            4096,
            32,
            32,
            8,
            14336,
            256000,
            sliding_window=4096,
            sliding_window_pattern=4,
        ),
        8_028_033_024,
        f"{_HUB}huihui-ai/c4ai-command-r7b-12-2024-abliterated/blob/main/config.json",
        _LLMFIT_ALL,
    ),
    "allenai/OLMo-2-1124-7B": Published(
        _c("Olmo2ForCausalLM", 4096, 32, 32, 32, 11008, 100352),
        7_298_617_344,
        f"{_HUB}allenai/OLMo-2-1124-7B/blob/stage2-ingredient3-step11931-tokens50B/config.json",
        _TRANSFORMERS,
    ),
    "internlm/internlm2-7b": Published(
        _c("InternLM2ForCausalLM", 4096, 32, 32, 8, 14336, 92544),
        7_737_708_544,
        f"{_MLC} internlm2",
        f"{_LLMFIT_ALL} internlm2_5-7b-chat, which has its shape",
    ),
    "HuggingFaceTB/SmolLM3-3B": Published(
        _c("SmolLM3ForCausalLM", 2048, 36, 16, 4, 11008, 128256),
        3_075_098_624,
        _DEFAULTS,
        _TRANSFORMERS,
    ),
    "bigcode/starcoder2-7b": Published(
        _c("Starcoder2ForCausalLM", 4608, 32, 36, 4, 18432, 49152),
        7_173_923_840,
        f"{_MLC} starcoder2",
        _LLMFIT,
    ),
    "facebook/opt-125m": Published(
        {
            "architectures": ["OPTForCausalLM"],
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "ffn_dim": 3072,
            "vocab_size": 50272,
            "max_position_embeddings": 2048,
        },
        125_239_296,
        _DEFAULTS,
        f"{_LLMFIT} peft-internal-testing/opt-125m",
    ),
    "THUDM/chatglm3-6b": Published(
        {
            "architectures": ["ChatGLMModel"],
            "hidden_size": 4096,
            "num_layers": 28,
            "num_attention_heads": 32,
            "multi_query_group_num": 2,
            "kv_channels": 128,
            "ffn_hidden_size": 13696,
            "padded_vocab_size": 65024,
            "seq_length": 8192,
        },
        6_243_584_000,
        f"{_MLC} chatglm",
        "github.com/MrYxJ/calculate-flops.pytorch@086d419 README_CN.md: chatglm2-6b, which has its shape",
    ),
    "THUDM/GLM-4-9B-0414": Published(
        _c("Glm4ForCausalLM", 4096, 40, 32, 2, 13696, 151552, head_dim=128),
        9_400_279_040,
        _DEFAULTS,
        _TRANSFORMERS,
    ),
    "ByteDance-Seed/Seed-OSS-36B-Instruct": Published(
        _c("SeedOssForCausalLM", 5120, 64, 80, 8, 27648, 155136, head_dim=128),
        36_151_104_512,
        f"{_DEFAULTS}; {_HUB}darkc0de/4.3test2/blob/main/config.json",
        _TRANSFORMERS,
    ),
}
