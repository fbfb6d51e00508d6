"""Numbers in the manifests that belong together: scaling never kills work, and memory holds what may run in it."""

import re

import pytest
import yaml

from tests.deploy.kustomize.rendered import ROOT, Item, combined, everything, named, of_kind, overlay

GIB = 1024**3
UNITS = {"Mi": 1024**2, "Gi": GIB}
#: What the runner, its zygote and the boxes that wait take besides, at the most.
RUNNER_BYTES = 512 * 1024**2
#: From the last chunk's end to the process's.
STOPPING_SECONDS = 30


def _bytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def _runner() -> tuple[Item, dict[str, str]]:
    pod = named(everything(), "Deployment", "runner")["spec"]["template"]["spec"]
    return pod, named(everything(), "ConfigMap", pod["containers"][0]["envFrom"][0]["configMapRef"]["name"])["data"]


def test_a_runner_that_goes_may_finish_the_longest_chunk() -> None:
    pod, told = _runner()
    drain = float(told["RUNNER_DRAIN_SECONDS"])

    # A compiler may run for a minute before the code does.
    assert drain >= float(told["RUNNER_MAX_TIMEOUT_SECONDS"]) + 60
    assert pod["terminationGracePeriodSeconds"] >= drain + STOPPING_SECONDS


def test_ingest_takes_no_task_that_runs_longer_than_a_runner_grants() -> None:
    _, told = _runner()
    ingest = named(everything(), "Deployment", "ingest")["spec"]["template"]["spec"]["containers"][0]
    settings = named(everything(), "ConfigMap", ingest["envFrom"][0]["configMapRef"]["name"])["data"]

    assert settings["INGEST_MAX_TIMEOUT_SECONDS"] == told["RUNNER_MAX_TIMEOUT_SECONDS"]
    assert settings["DISPATCHER_MOST_MEMORY_BYTES"] == told["RUNNER_MAX_MEMORY_BYTES"]


def test_a_runners_memory_holds_all_that_its_slots_may_take() -> None:
    pod, told = _runner()
    limits = pod["containers"][0]["resources"]["limits"]
    slot = int(told["RUNNER_MAX_MEMORY_BYTES"]) + int(told["RUNNER_MAX_DISK_BYTES"])
    slots = int(limits["cpu"])

    assert _bytes(limits["memory"]) >= slots * slot + int(told["RUNNER_GO_PROGRAMS_BYTES"])
    assert _bytes(limits["memory"]) - RUNNER_BYTES >= slots * int(told["RUNNER_MAX_MEMORY_BYTES"])


def test_a_pod_may_not_be_killed_for_memory_that_it_was_promised() -> None:
    pod, _ = _runner()
    resources = pod["containers"][0]["resources"]

    assert resources["requests"] == resources["limits"]


def test_running_chunks_are_load_and_one_runner_stands_for_its_slots() -> None:
    pod, _ = _runner()
    scaled = named(everything(), "ScaledObject", "runner")["spec"]
    (trigger,) = scaled["triggers"]

    # Only the management API counts what is unacked, and a runner acks when a chunk has ended.
    assert trigger["metadata"]["protocol"] == "http"
    assert trigger["metadata"]["host"].startswith("http://rabbitmq.taskandgo.svc:")
    assert trigger["metadata"]["excludeUnacknowledged"] == "false"
    assert trigger["metadata"]["mode"] == "QueueLength"
    assert trigger["metadata"]["value"] == str(pod["containers"][0]["resources"]["limits"]["cpu"])
    assert scaled["minReplicaCount"] == 0
    assert scaled["fallback"]["behavior"] == "currentReplicasIfHigher"


@pytest.mark.parametrize("scaling", ["autoscaling-keda", "autoscaling-hpa"])
def test_applying_the_files_again_does_not_undo_what_was_scaled(scaling: str) -> None:
    items = combined(scaling)
    targets = {
        item["spec"]["scaleTargetRef"]["name"] for item in of_kind(items, "ScaledObject", "HorizontalPodAutoscaler")
    }

    assert targets == {"ingest", "dispatcher", "runner"}
    assert [name for name in targets if "replicas" in named(items, "Deployment", name)["spec"]] == []


def test_ingest_goes_on_until_it_is_no_longer_called() -> None:
    pod = named(everything(), "Deployment", "ingest")["spec"]["template"]["spec"]
    pause = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    graces = [int(seconds) for seconds in re.findall(r"GRACE_SECONDS = (\d+)", _source("services/ingest/main.py"))]

    assert pod["terminationGracePeriodSeconds"] >= pause + sum(graces) + STOPPING_SECONDS / 2


def test_a_cluster_of_brokers_has_the_settings_of_the_one() -> None:
    told = named(everything(), "RabbitmqCluster", "rabbitmq")["spec"]["rabbitmq"]["additionalConfig"].splitlines()
    alone = [line for line in _source("deploy/rabbitmq/rabbitmq.conf").splitlines() if line and line[0] != "#"]

    assert [line for line in alone if not line.startswith("log.") and line not in told] == []


def test_both_overlays_run_the_same_broker() -> None:
    images = {
        item["spec"]["template"]["spec"]["containers"][0]["image"]
        for item in of_kind(overlay("minikube"), "StatefulSet")
        if item["metadata"]["name"] == "rabbitmq"
    }
    assert images == {named(everything(), "RabbitmqCluster", "rabbitmq")["spec"]["image"]}


def test_a_laptop_runs_the_servers_that_docker_compose_runs() -> None:
    composed = yaml.safe_load(_source("docker-compose.yml"))["services"]
    here = {item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0]["image"]
            for item in of_kind(overlay("minikube"), "StatefulSet")}  # fmt: skip

    for name, image in here.items():
        # There a series of releases, here one of it.
        assert re.match(rf"{composed[name]['image'].replace('-management', '')}\b", image), name


def _source(path: str) -> str:
    return (ROOT / path).read_text()
