"""A fake CI runner: the templates' shell, with fake pulumi, tierup and make that fail on unknown arguments."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ci_templates import ROOT, filled, github_step, gitlab_jobs
from fake_comment_api import TOKEN

KUBECONFIG = "kind: Config\nusers: []\n"
PASSPHRASE = "pass-71c-not-to-be-seen"
MARKER = "<!-- tierup-cost:standard -->"
TOOLS = "pulumi pulumi-language-python pulumi-language-python-exec pulumi-resource-kubernetes"

_FAKE = """#!/usr/bin/env bash
echo "{name} $*" >>"$WORLD/calls"
status() {{ cat "$WORLD/$1.status" 2>/dev/null || echo 0; }}
case "$*" in
{cases}
*) echo "fake {name}: unknown arguments: $*" >&2; exit 64 ;;
esac
"""
_PULUMI = """\
*" "*) [[ $KUBECONFIG == .kubeconfig && -s .kubeconfig ]] || exit 65 ;;& # a cluster to talk to
"preview --stack standard --json --show-sames --non-interactive") cat "$WORLD/preview"; exit "$(status preview)" ;;
"preview --stack standard --refresh --expect-no-changes --diff --non-interactive") exit "$(status drift)" ;;
"up --stack standard --yes --non-interactive") [[ -n $PULUMI_CONFIG_PASSPHRASE ]] ;;"""
_TIERUP = """\
"cost --plan preview/plan.json --stack standard --format markdown" | \
"cost --plan preview/plan.json --stack standard --format markdown --strict")
    [[ -s preview/plan.json ]] && cat "$WORLD/cost"; exit "$(status cost)" ;;
"cost --stack standard") echo "cost of the stack file"; exit "$(status cost)" ;;
"cost --stack standard --format markdown" | "cost --stack standard --format markdown --strict")
    echo "## Cost of the stack file"; exit "$(status cost)" ;;
"policy --plan preview/plan.json") echo "policies"; exit "$(status policy)" ;;
"plan --stack standard" | "plan --stack standard --json" | "plan --stack standard --format sarif" | \
"plan --stack standard --format markdown") cat "$WORLD/plan"; exit "$(status plan)" ;;"""
_PYTHON = f"""\
"-m tierup.local.toolchain install {TOOLS}") echo "toolchain ready" ;;
"-m tierup.local.toolchain path") echo "$WORLD/tools" ;;"""


@dataclass(frozen=True)
class Result:
    code: int
    output: str


class Runner:
    """A checkout with the templates' scripts; the fakes' responses are in files next to it."""

    def __init__(self, folder: Path) -> None:
        self.world, self.checkout = folder / "world", folder / "checkout"
        self.temp = folder / "temp"
        for made in (self.world / "bin", self.checkout / ".venv" / "bin", self.temp):
            made.mkdir(parents=True)
        (self.checkout / "ci").symlink_to(ROOT / "ci")
        for name, cases in {"pulumi": _PULUMI, "tierup": _TIERUP, "make": '"setup") ;;'}.items():
            self._fake(self.world / "bin" / name, name, cases)
        self._fake(self.checkout / ".venv" / "bin" / "python", "python", _PYTHON)
        (self.world / "bin" / "python3").symlink_to(sys.executable)
        self.answers("preview", json.dumps({"steps": []}))
        self.answers("cost", f"{MARKER}\n## Cost\n")
        self.answers("plan", json.dumps({"file": "stacks/Pulumi.standard.yaml", "findings": []}))

    def _fake(self, file: Path, name: str, cases: str) -> None:
        file.write_text(_FAKE.format(name=name, cases=cases))
        file.chmod(0o755)

    def answers(self, what: str, text: str) -> None:
        """Set the output of the fake for `preview`, `cost` or `plan`."""
        (self.world / what).write_text(text)

    def ends(self, **codes: int) -> None:
        """Set the exit codes of `preview`, `drift`, `cost`, `policy` or `plan`."""
        for what, code in codes.items():
            (self.world / f"{what}.status").write_text(str(code))

    @property
    def calls(self) -> list[str]:
        """The command lines that the fakes were called with."""
        file = self.world / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def run(self, script: str, env: Mapping[str, str]) -> Result:
        """Run a script as GitHub and GitLab do; a secret in its output or an unknown argument fails the test."""
        basics = {"PATH": f"{self.world / 'bin'}:{os.environ['PATH']}", "no_proxy": "127.0.0.1"}
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.checkout,
            env={**basics, "WORLD": str(self.world), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert "unknown arguments" not in result.stdout, result.stdout
        assert not [secret for secret in (TOKEN, PASSPHRASE) if secret in result.stdout]
        assert not [call for call in self.calls if TOKEN in call or PASSPHRASE in call]
        return Result(result.returncode, result.stdout)

    def github(self, job: str, step: str, **known: str) -> Result:
        """Run one step; `known` has values of its expressions."""
        definition = github_step(job, step)
        expressions = {
            "inputs.stack": "standard",
            "inputs.backend-url": "file:///state",
            "inputs.strict": "false",
            "inputs.kubeconfig": KUBECONFIG.strip(),
            "secrets.PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "secrets.PULUMI_ACCESS_TOKEN": "",
            "github.token": TOKEN,
            "github.event.pull_request.number": "5",
            "github.event_name == 'pull_request' && 'github' || ''": "github",
            **known,
        }
        files = {name: str(self.temp / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_PATH", "GITHUB_ENV")}
        own = {"GITHUB_API_URL": self.api, "GITHUB_REPOSITORY": "acme/llm", **self._exported()}
        return self.run(definition.run, {**files, **own, **filled(definition.env, expressions)})

    def _exported(self) -> dict[str, str]:
        """Environment variables that earlier steps set for later ones."""
        return dict(line.split("=", 1) for line in self.left("GITHUB_ENV").splitlines())

    def gitlab(self, job: str, strict: str = "false", **variables: str) -> Result:
        """Run a complete job, before_script and script, in one shell."""
        definition = gitlab_jobs(stack="standard", strict=strict)[f"tierup-standard-{job}"]
        kubeconfig = (
            self.temp / "KUBECONFIG"
        )  # a variable of type file; GitLab's runner makes it readable by everyone
        kubeconfig.write_text(KUBECONFIG)
        secrets = {"PULUMI_CONFIG_PASSPHRASE": PASSPHRASE, "TIERUP_KUBECONFIG": str(kubeconfig)}
        env = {"CI_API_V4_URL": self.api, **secrets, **variables}
        return self.run(
            "\n".join([*definition["before_script"], *definition["script"]]),
            {**env, **definition["variables"]},
        )

    api = "http://127.0.0.1:9/nobody-listens"

    def left(self, name: str) -> str:
        """The content of a file that the runner collects: summary, path or environment."""
        file = self.temp / name
        return file.read_text() if file.exists() else ""
