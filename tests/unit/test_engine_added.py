"""A third engine, which exists only here: a row of facts and a module are all that the project needs for it.

The project is copied, the row and the module are added to the copy, and the copy's own commands are run.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import reloader_rules
import yaml

from tierup.templates import ROOT

ROW = """
  maple-serve:
    title: Maple
    version: {value: "7.1", source: trtllm-serve}
    image: {key: maple, name: "registry.example.com/maple:{version}", why: the engine of this test}
    format_images: {}
    versions_differ: false
    cpu_build: false
    unproven: no test ever ran Maple
    options_file: null
    owned: {}
    owned_env: {}
    options_problem: nobody listed what Maple takes
    loads: {value: [bf16, awq], source: trtllm-serve}
    runs_repository_code: {value: false, source: trtllm-serve}
    slash_problem: {value: Maple takes a slash for a folder, source: trtllm-serve}
    fp8_kv_cache: null
    priority: {value: highest-first, source: trtllm-serve}
    bounds_queue: {value: false, source: trtllm-serve}
    messages_api: {value: false, source: trtllm-serve}
    autoscaling_problem: no series of Maple is recorded
    overhead: {step_ms: null, per_sequence: true}
    command_line:
      source: trtllm-serve
      value:
        starts: [maple]
        repository: null
        sizes: {tensor: [--cards]}
        files: []
        split_files: []
        one_rank: []
        ray: []
    metrics:
      path: {value: /metrics, source: trtllm-serve}
      running: {value: maple_running, source: trtllm-serve}
      progress: {value: [maple_tokens_total], source: trtllm-serve}
      histograms: {tpotMs: maple_token_seconds}
      buckets:
        maple_token_seconds: {value: [0.03, 0.07], source: trtllm-serve}
"""
MODULE = '''"""How Maple serves a model."""

from tierup.manifests.engines.base import Serving, common_env
from tierup.manifests.weights import MOUNT
from tierup.plan.model import ModelPlan, Plan


def serving(plan: Plan, model: ModelPlan) -> Serving:
    """The container of one model."""
    return Serving(
        image=plan.images.engine(model.engine),
        command=["maple"],
        args=["--files", f"{MOUNT}/{model.path}", "--cards", str(model.gpus)],
        env=common_env(model),
        mounts=[{"name": "models", "mountPath": MOUNT, "readOnly": True}],
        prestop_seconds=model.prestop_seconds,
    )
'''


class Project:
    """A copy of the project with one engine more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("tierup", "templates", "monitoring"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        (folder / "docs").mkdir()
        shutil.copy(ROOT / "docs/runbooks.md", folder / "docs")  # a board of Grafana has them
        (folder / "stacks").mkdir()
        with (folder / "tierup/catalog/engine.yaml").open("a", encoding="utf-8") as facts:
            facts.write(ROW)
        (folder / "tierup/manifests/engines/maple_serve.py").write_text(MODULE, encoding="utf-8")

    def python(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a script in the copy; it must not import the original."""
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                f"import sys, tierup; print(tierup.__file__, file=sys.stderr); {script}",
                *args,
            ],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert str(self.folder) in done.stderr, done.stderr
        return done

    def run(self, *args: str, good: bool = True, **sections: Any) -> str:
        """The output of one `tierup` command on a stack of the sections given."""
        values = {
            "workload": {"users": 16},
            "nodes": {"server": "entry-2x-rtx-4090"},
            "models": [{"id": "qwen2.5-7b", "engine": "maple-serve"}],
            **sections,
        }
        config = {f"tierup:{key}": value for key, value in values.items()}
        (self.folder / "stacks/Pulumi.third.yaml").write_text(yaml.safe_dump({"config": config}))
        done = self.python("import tierup.cli; tierup.cli.main()", *args, "--stack", "third")
        assert (done.returncode == 0) is good, done.stderr
        return done.stdout if good else done.stdout + done.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def plan(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("plan", "--json"))
    return found


@pytest.fixture(scope="module")
def objects(project: Project) -> list[dict[str, Any]]:
    return [item for item in yaml.safe_load_all(project.run("render")) if item is not None]


def data(objects: list[dict[str, Any]], name: str) -> str:
    """A file of one of the ConfigMaps."""
    (text,) = [item["data"][name] for item in objects if name in item.get("data", {})]
    return str(text)


def test_it_is_planned_with_its_own_image_and_without_an_autoscaler(plan: dict[str, Any]) -> None:
    defaults = {item["path"]: (item["value"], item["why"]) for item in plan["defaults"]}
    assert defaults["images.maple"] == ("registry.example.com/maple:7.1", "the engine of this test")
    assert defaults["autoscaling.enabled"] == ("false", "no series of Maple is recorded")


def test_the_rules_name_it_and_no_other_engine(plan: dict[str, Any]) -> None:
    reported = {item["code"]: item for item in plan["findings"]}
    assert reported["TIER101"]["problem"] == "no test ever ran Maple"
    assert reported["TIER079"]["problem"].startswith("is not a bucket bound of maple_token_seconds")
    assert "vllm:" not in json.dumps(plan["findings"])


def test_features_that_it_does_not_have_are_refused(project: Project) -> None:
    model = {"id": "qwen2.5-7b", "engine": "maple-serve", "name": "acme/qwen", "precision": "fp8"}
    images = {"maple": "registry.example.com/maple:latest"}
    output = project.run("plan", good=False, models=[model], images=images, autoscaling={"enabled": True})
    for message in (
        "TIER100 models[0].precision: Maple does not load this variant (got fp8; allowed bf16, awq)",
        "TIER104 models[0].name: Maple takes a slash for a folder",
        "TIER103 autoscaling.enabled: acme/qwen would be scaled by requests in flight, and maple-serve",
        "TIER042 images.maple: a floating tag",
    ):
        assert message in " ".join(output.split())


def test_an_engine_without_facts_is_not_a_choice(project: Project) -> None:
    output = project.run("plan", good=False, models=[{"id": "qwen2.5-7b", "engine": "oak-serve"}])
    assert "allowed vllm, tensorrt-llm, maple-serve" in " ".join(output.split())


def test_its_pods_run_its_command(objects: list[dict[str, Any]]) -> None:
    (deployment,) = [
        item for item in objects if item["metadata"]["name"] == "model-qwen2-5-7b" and "Depl" in item["kind"]
    ]
    (server,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (server["image"], server["command"]) == ("registry.example.com/maple:7.1", ["maple"])
    assert server["args"][-2:] == ["--cards", "1"]
    assert deployment["spec"]["replicas"] == 2
    assert not [item for item in objects if item["kind"] == "HorizontalPodAutoscaler"]


def test_the_gateway_sends_priorities_in_its_order_and_watches_its_metrics(
    objects: list[dict[str, Any]],
) -> None:
    (target,) = json.loads(data(objects, "policy.json"))["models"].values()
    assert target["priorities"] == {"chat": 30, "longform": -30}
    config = reloader_rules.parse_config(json.loads(data(objects, "gateway.json")))
    text = 'maple_running 2\nmaple_tokens_total{card="0"} 7\nmaple_tokens_total{card="1"} 1\n'
    assert reloader_rules.read_metrics(text, config.models[0]) == reloader_rules.Reading(2, (8,))


def test_prometheus_scrapes_its_metrics_path(objects: list[dict[str, Any]]) -> None:
    jobs = yaml.safe_load(data(objects, "prometheus.yml"))["scrape_configs"]
    paths = {job["job_name"]: job.get("metrics_path") for job in jobs}
    assert paths["model-server/qwen2-5-7b"] == "/metrics"


def test_a_policy_counts_its_gpus(project: Project) -> None:
    script = (
        "from tierup.policies.parallelism import engine_of; from tierup.policies.pods import Part; "
        "print(engine_of(Part('', {'command': ['maple'], 'args': ['--files', '/m', '--cards', '2']})))"
    )
    assert project.python(script).stdout == "tensor 2 x pipeline 1 = 2 GPUs\n"


def test_an_overhead_that_was_not_calibrated_is_named_with_the_command_that_fits_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    facts = project.folder / "tierup/catalog/engine.yaml"
    row = ROW.replace("step_ms: null", "step_ms: 1.2")
    facts.write_text(facts.read_text(encoding="utf-8").replace(ROW, row), encoding="utf-8")
    output = project.run("plan", good=False)
    assert "engine.yaml: maple-serve.overhead.step_ms: measurements/coefficients.yaml has no" in output
    assert "run `python -m tierup.sizing.calibrate`" in output
    assert "Traceback" not in output
    fitted = project.python("from tierup.sizing.calibrate import calibration_text; print(calibration_text())")
    coefficients = yaml.safe_load(fitted.stdout)["coefficients"]
    assert coefficients["overhead.maple-serve"]["value"] > 0, "the command can still make what is missing"
