"""The files under configs/deploy/ fit the systems they are for, and the commands they run exist."""

import ast
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from cluster.cli import app

DEPLOY = Path(__file__).parents[1] / "configs" / "deploy"
KUBERNETES = "1.34"
"""The version whose schemas hold."""


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


def accepted(words: list[str]) -> dict[str, Any]:
    """What the command line makes of a command; it fails on an option that is not there."""
    program, command, *arguments = words
    assert program == "corpusmill"
    commands: Any = typer.main.get_command(app)
    context = commands.commands[command].make_context(command, arguments)
    found: dict[str, Any] = context.params
    return found


def scheduled_once(params: dict[str, Any], cron: str, zone: str) -> bool:
    return (params["once"], params["cron"], params["timezone"]) == (True, cron, zone)


def test_the_cronjob_fits_the_schema_of_kubernetes():
    kubernetes_validate.validate(read("cronjob.yaml"), KUBERNETES, strict=True)


def test_a_misspelt_field_of_the_cronjob_would_not_pass():
    wrong = read("cronjob.yaml")
    wrong["spec"]["concurrencypolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


def test_the_cronjob_forbids_overlap_and_repeats_neither_a_refusal_nor_a_mistake():
    spec = read("cronjob.yaml")["spec"]
    job = spec["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    fail = job["podFailurePolicy"]["rules"][0]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2, 3, 4, 5],
    }
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # else there is no such policy


def test_the_cronjob_submits_a_command_of_the_same_cron():
    spec = read("cronjob.yaml")["spec"]
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    params = accepted([*container["command"], *container["args"]])
    assert (params["cron"], params["timezone"]) == (spec["schedule"], spec["timeZone"])
    assert params["follow"], "else the pod's exit code is not the run's"
    assert params["again"], "else a pod that is tried again only tells of the first failure"
    (mount,) = container["volumeMounts"]
    assert params["config"] == f"{mount['mountPath']}/reembed.yaml"


def test_the_cronjob_takes_the_clusters_token_from_the_secret_that_kuberay_makes():
    pod = read("cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {each["name"]: each for each in container["env"]}
    cluster = read("raycluster.yaml")["metadata"]["name"]
    secret = {"name": cluster, "key": "auth_token"}
    assert environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == secret
    assert environment["RAY_ADDRESS"]["value"] == f"http://{cluster}-head-svc:8265"


def tree(name: str) -> ast.Module:
    text = (DEPLOY / name).read_text()
    compile(text, name, "exec")
    return ast.parse(text)


def imports(module: ast.Module) -> set[str]:
    names = [node.module for node in ast.walk(module) if isinstance(node, ast.ImportFrom)]
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return {str(name).partition(".")[0] for name in names}


def test_the_airflow_dag_compiles_and_imports_only_airflow_and_the_standard_library():
    assert imports(tree("airflow_dag.py")) - sys.stdlib_module_names == {"airflow"}


def test_the_source_of_the_airflow_dag_neither_catches_up_nor_overlaps_and_passes_its_date_on():
    module = tree("airflow_dag.py")
    calls = {
        call.func.id: {word.arg: word.value for word in call.keywords}
        for call in ast.walk(module)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    }
    dag, task = calls["DAG"], calls["CorpusmillRun"]
    assert ast.literal_eval(dag["catchup"]) is False
    assert ast.literal_eval(dag["max_active_runs"]) == 1
    assert "logical_date" in ast.literal_eval(task["date"])
    source = ast.unparse(module)
    assert "template_fields = ('date',)" in source
    assert "[*self.command, '--date', self.date]" in source
    assert "raise AirflowSkipException" in source
    assert "raise AirflowFailException" in source
    values = {node.targets[0].id: node.value for node in module.body if assigns_name(node)}
    config = ast.literal_eval(values["CONFIG"])
    assert set(ast.literal_eval(values["NEVER_AGAIN"])) == {2, 3, 4}
    words = [config if name_of(word) else ast.literal_eval(word) for word in values["COMMAND"].elts]
    assert accepted([*words, "--date", "2026-11-22T03:00:00+00:00"])["config"] == config


def assigns_name(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)


def name_of(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", sorted(DEPLOY.iterdir()), ids=lambda path: path.name)
def test_no_deployment_holds_a_secret(path):
    if path.is_file():
        text = path.read_text().lower()
        assert "secret_access_key" not in text
        assert "password" not in text
        assert "kind: secret" not in text
