"""Rules for every container and every pod, whoever adds one."""

import re

import pytest

from tests.deploy.kustomize.rendered import (
    Item,
    all_containers,
    everything,
    named,
    of_kind,
    overlay,
    workloads,
)

ITEMS = (*everything(), *overlay("minikube"))
CONTAINERS = [pytest.param(container, id=where) for where, container in all_containers(ITEMS)]
WORKLOADS = [pytest.param(item, id=item["metadata"]["name"]) for item in workloads(ITEMS)]


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_may_do_nothing_that_it_needs_not(container: Item) -> None:
    may = container["securityContext"]

    assert may["readOnlyRootFilesystem"] is True
    assert may["allowPrivilegeEscalation"] is False
    assert may["capabilities"] == {"drop": ["ALL"]}
    assert "privileged" not in may


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_container_has_limits(container: Item) -> None:
    for bound in ("requests", "limits"):
        assert set(container["resources"][bound]) >= {"cpu", "memory"}, bound


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_container_that_stays_has_its_probes(workload: Item) -> None:
    for container in workload["spec"]["template"]["spec"]["containers"]:
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container), container["name"]


@pytest.mark.parametrize("container", CONTAINERS)
def test_an_image_has_a_version(container: Item) -> None:
    assert re.fullmatch(r"[\w./-]+:\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?", container["image"])


def test_the_operators_image_has_a_version() -> None:
    assert re.fullmatch(
        r"rabbitmq:\d+(\.\d+)+-management", named(everything(), "RabbitmqCluster", "rabbitmq")["spec"]["image"]
    )


@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_pod_is_an_ordinary_user_with_a_filter_and_nothing_of_its_node(workload: Item) -> None:
    pod = workload["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]


@pytest.mark.parametrize("workload", workloads(overlay("production")), ids=lambda item: item["metadata"]["name"])
def test_a_pod_has_an_account_of_its_own_without_a_token(workload: Item) -> None:
    pod = workload["spec"]["template"]["spec"]

    assert pod["serviceAccountName"] == workload["metadata"]["name"]
    assert pod["automountServiceAccountToken"] is False
    account = named(overlay("production"), "ServiceAccount", pod["serviceAccountName"])
    assert account["automountServiceAccountToken"] is False


def test_only_the_runner_has_a_token_when_it_tells_its_deletion_cost_and_it_opens_nothing_else() -> None:
    with_token = [
        item["metadata"]["name"]
        for item in workloads(everything())
        if item["spec"]["template"]["spec"]["automountServiceAccountToken"]
    ]
    (role,) = of_kind(everything(), "Role")

    assert with_token == ["runner"]
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["patch"]}]
    assert of_kind(everything(), "ClusterRole", "ClusterRoleBinding") == []


def test_the_runner_has_no_store_and_no_secret_but_the_brokers() -> None:
    runner = named(everything(), "Deployment", "runner")["spec"]["template"]["spec"]
    secrets = [
        env["valueFrom"]["secretKeyRef"]["name"]
        for env in runner["containers"][0]["env"]
        if "secretKeyRef" in env.get("valueFrom", {})
    ]

    assert secrets == ["rabbitmq-default-user"]
    assert "initContainers" not in runner
    assert [volume for volume in runner["volumes"] if "secret" in volume] == []


@pytest.mark.parametrize("name", ["ingest", "dispatcher", "runner", "monitor"])
def test_a_service_may_be_disrupted_a_little_at_a_time_and_is_spread(name: str) -> None:
    budget = named(everything(), "PodDisruptionBudget", name)["spec"]
    workload = named(everything(), "Deployment", name)["spec"]
    spread = workload["template"]["spec"]["topologySpreadConstraints"]

    assert budget["selector"] == workload["selector"]
    assert budget["maxUnavailable"] in {1, "25%"}
    assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(one["labelSelector"] == workload["selector"] for one in spread)


def test_the_namespace_refuses_pods_that_may_more() -> None:
    for name in ("minikube", "production"):
        labels = named(overlay(name), "Namespace", "taskandgo")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
