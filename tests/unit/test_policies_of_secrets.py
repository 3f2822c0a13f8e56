"""The policy over secrets in plain text: every way to write one in a pod is found, and nothing else is."""

import pytest
from policed import container, deployment, messages, pod, refused

from tierup.findings.secrets import holds_token, named_as_secret, redacted

PATH = "spec.template.spec.containers[0]"


def problems(**fields: object) -> list[str]:
    """The problems of a deployment whose container has these fields, as `path: problem`."""
    found = messages(deployment(pod(container(**fields))))
    return [message.removeprefix(f"{PATH}.").partition(" - ")[0] for message in found]


ARGUMENTS = [
    ["--api-key", "token-abc123"],
    ["--api-key=sk-secret-123456"],
    ["--api_key", "9f8e7d6c5b4a39281706f5e4d3c2b1a0"],
    ["--apiKey", "open-sesame"],
    ["-api-key", "open-sesame"],
    ["--hf-token", "open-sesame"],
    ["--requirepass", "open-sesame"],
    ["VLLM_API_KEY=open-sesame"],
    ["-H", "Authorization: Bearer open-sesame"],
    ["--header=X-API-Key: open-sesame"],
    ["--default-headers", '{"Authorization": "Bearer open-sesame"}'],
    ["-c", "client = OpenAI(base_url='http://x', api_key='open-sesame')"],
    ["--extra-args", "--max-model-len 4096 --api-key open-sesame"],
]


@pytest.mark.parametrize("words", ARGUMENTS, ids=" ".join)
def test_a_secret_in_a_command_line_is_found(words: list[str]) -> None:
    found = problems(args=["serve", "model", *words, "--max-model-len", "4096"])
    assert len(found) == 1
    assert found[0].startswith(f"args[{1 + len(words)}]: "), "the path is the word that holds the secret"
    assert "has the name of a secret" in found[0]
    assert "sesame" not in found[0]


def test_an_option_at_the_end_of_command_takes_the_first_word_of_args() -> None:
    assert problems(command=["vllm", "serve", "m", "--api-key"], args=["open-sesame"]) == [
        "args[0]: --api-key: has the name of a secret"
    ]


SCRIPTS = [
    "vllm serve m --api-key open-sesame",
    "vllm serve m --api-key 'open sesame'",
    "VLLM_API_KEY=open-sesame vllm serve m",
    'export HF_TOKEN="open-sesame"; vllm serve m',
    "set -e\nexport VLLM_API_KEY=open-sesame\nexec vllm serve m\n",
    "vllm serve m \\\n  --api-key \\\n  open-sesame",
    'curl -fsS -H "Authorization: Bearer open-sesame" http://localhost:8000/v1/models',
    'vllm serve m --api-key "${VLLM_API_KEY:-open-sesame}"',
    "echo it's ready  # a quote that is not closed\nvllm serve m --api-key open-sesame",
    "bash -c 'vllm serve m --api-key open-sesame'",
]


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "shell", [["sh", "-c"], ["/bin/bash", "-o", "pipefail", "-ec"], ["tini", "--", "sh", "-c"]]
)
def test_a_secret_in_a_script_is_found(shell: list[str], script: str) -> None:
    (found,) = problems(command=shell, args=[script])
    assert found.startswith("args[0]: ")
    assert "has the name of a secret" in found


def test_options_in_a_variable_are_read_too() -> None:
    assert problems(env=[{"name": "VLLM_ARGS", "value": "--api-key open-sesame"}]) == [
        "env[0].value: --api-key: has the name of a secret"
    ]


NO_SECRETS = [
    ["--api-key", "$(VLLM_API_KEY)"],
    ["--api-key=$(VLLM_API_KEY)"],
    ["--api-key", "$VLLM_API_KEY"],
    ["--api-key", "${VLLM_API_KEY}"],
    ["--api-key", "/run/secrets/key"],
    ["--api-key-file", "key.txt"],
    ["--api-key"],
    ["--api-key", "--max-model-len=4096"],
    ["--max-tokens", "200"],
    ["--max-num-batched-tokens=8192"],
    ["--tokenizer", "Qwen/Qwen2.5-7B-Instruct"],
    ["--tokenizer-mode", "auto"],
    ["--pad-token", "[PAD]"],
    ["--eos-token", "<|im_end|>"],
    ["--override-tokens", '{"stop_token": "END", "max_tokens": "many"}'],
    ["--no-api-key", "serve"],
    ["--ssl-keyfile", "key.pem"],
    ["-H", "Authorization: Bearer $(VLLM_API_KEY)"],
    ["-H", "Content-Type: application/json"],
    ["--prompt", "Explain what a token is: a part of a word"],
]


@pytest.mark.parametrize("words", NO_SECRETS, ids=" ".join)
def test_references_and_other_options_are_no_secrets(words: list[str]) -> None:
    assert problems(args=["serve", "model", *words]) == []


@pytest.mark.parametrize(
    "script",
    [
        'vllm serve m --api-key "$VLLM_API_KEY" --max-model-len 4096',
        "vllm serve m --api-key $(cat /run/secrets/key) --port 8000",
        'export HF_TOKEN="$(cat /run/secrets/hub token)" && vllm serve m',
        "HF_TOKEN=$TOKEN VLLM_API_KEY=${KEY:?missing} vllm serve m",
        'curl -H "Authorization: Bearer $VLLM_API_KEY" http://localhost:8000/health',
        'test -n "$HF_TOKEN" || { echo "token: missing"; exit 1; }',
        "vllm serve m --api-key",
        "vllm serve m --api-key; echo done",
    ],
)
def test_scripts_that_read_their_secrets_are_clean(script: str) -> None:
    assert problems(command=["sh", "-c", script]) == []


PLACEHOLDERS = [
    *("EMPTY", "empty", "dummy", "sk-dummy", "none"),
    *("null", "n/a", "fake", "sk-fake", "not-needed"),
    *("NOT_NEEDED", "not-required", "no-key", "sk-no-key-required", "sk-xxxxxxxxxxxxx"),
    *("xxxx", "****", "placeholder", "your-api-key", "YOUR_API_KEY_HERE"),
    *("<your-key>", "unused", "ignored", "anything", "lm-studio"),
    *(
        "ollama",
        "test",
        "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "sk-this-is-a-dummy-key-not-used",
    ),
]


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_no_secret_anywhere(value: str) -> None:
    written = [value, f"--api-key={value}", "--api-key", value, "-H", f"Authorization: Bearer {value}"]
    variable = {"name": "OPENAI_API_KEY", "value": value}
    script = f"OPENAI_API_KEY='{value}' run --api-key '{value}'"
    assert problems(env=[variable], command=["sh", "-c", script], args=written) == []
    assert not holds_token(value)
    assert not named_as_secret("OPENAI_API_KEY", value)
    assert redacted(value) == value, "a message shows it"


@pytest.mark.parametrize(
    "value",
    ["token-abc123", "sk-1234", "secret", "password", "dummy123", "sk-test-51HxKq", "empty-sky-over-berlin"],
)
def test_a_value_that_only_resembles_a_placeholder_is_a_secret(value: str) -> None:
    assert refused(deployment(pod(container(env=[{"name": "OPENAI_API_KEY", "value": value}]))))
    assert problems(args=["--api-key", value])
