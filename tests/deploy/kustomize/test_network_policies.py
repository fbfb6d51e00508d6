"""Who reaches whom: the whole matrix, by the rules of NetworkPolicy, and nothing besides."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.deploy.kustomize.rendered import Item, combined, of_kind, overlay

OWN = "taskandgo"


@dataclass(frozen=True)
class Peer:
    """A pod, or what stands for one elsewhere."""

    namespace: str
    labels: dict[str, str] = field(default_factory=dict, hash=False)


def own(name: str) -> Peer:
    """A pod of ours."""
    return Peer(OWN, {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "taskandgo"})


STRANGER = Peer("shop", {"app.kubernetes.io/name": "shop"})
DNS = Peer("kube-system", {"k8s-app": "kube-dns"})
PEERS = {
    **{name: own(name) for name in ("ingest", "dispatcher", "runner", "monitor", "rabbitmq", "postgres")},
    "stranger": STRANGER,
    "prometheus": Peer("monitoring", {"app.kubernetes.io/name": "prometheus"}),
    "keda": Peer("keda", {"app.kubernetes.io/name": "keda-operator"}),
    "broker-operator": Peer("rabbitmq-system"),
    "collector": Peer("tracing"),
    "dns": DNS,
}
PORTS = (53, 443, 4317, 4369, 5432, 5671, 5672, 6443, 8080, 8081, 8082, 8083, 8084, 15672, 15692, 25672, 50051)

SERVICES = ("ingest", "dispatcher", "runner", "monitor")
CLIENTS = ("stranger", "prometheus", "keda", "broker-operator", "collector", "dns")
BASE = {
    *((name, "rabbitmq", 5672) for name in SERVICES),
    *((name, "postgres", 5432) for name in ("ingest", "dispatcher", "monitor")),
    ("runner", "ingest", 8084),
    ("monitor", "ingest", 50051),
    *((name, "ingest", port) for name in CLIENTS for port in (8080, 50051)),
    *((name, "dns", 53) for name in (*SERVICES, "rabbitmq", "postgres")),
}
NODES = {
    *(("rabbitmq", "rabbitmq", port) for port in (4369, 25672)),
    ("broker-operator", "rabbitmq", 15672),
}
SCRAPED = {
    ("prometheus", "monitor", 8081),
    ("prometheus", "dispatcher", 8082),
    ("prometheus", "runner", 8083),
    ("prometheus", "rabbitmq", 15692),
}


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        _holds(rule, labels) for rule in selector.get("matchExpressions", [])
    )


def _holds(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    inside = labels.get(rule["key"]) in rule["values"]
    return {"In": inside, "NotIn": not inside}[rule["operator"]]


def _selects(peer: dict[str, Any], other: Peer) -> bool:
    if "ipBlock" in peer:
        return False
    spaces = {"kubernetes.io/metadata.name": other.namespace}
    in_space = _matches(peer["namespaceSelector"], spaces) if "namespaceSelector" in peer else other.namespace == OWN
    return in_space and _matches(peer.get("podSelector", {}), other.labels)


def _allows(items: tuple[Item, ...], side: str, pod: Peer, other: Peer, port: int) -> bool:
    """Whether the policies of one end let it through; a pod outside is not ours to judge."""
    if pod.namespace != OWN:
        return True
    kind, peers = ("Ingress", "from") if side == "ingress" else ("Egress", "to")
    for policy in of_kind(items, "NetworkPolicy"):
        spec = policy["spec"]
        if kind not in spec["policyTypes"] or not _matches(spec["podSelector"], pod.labels):
            continue
        for rule in spec.get(side, []):
            ports = {one["port"] for one in rule["ports"]}
            if port in ports and (peers not in rule or any(_selects(peer, other) for peer in rule[peers])):
                return True
    return False


def matrix(items: tuple[Item, ...]) -> set[tuple[str, str, int]]:
    """Every way that is open, with at least one end that is ours."""
    return {
        (source, target, port)
        for source, pod in PEERS.items()
        for target, other in PEERS.items()
        for port in PORTS
        if OWN in {pod.namespace, other.namespace}
        and _allows(items, "egress", pod, other, port)
        and _allows(items, "ingress", other, pod, port)
    }


def test_every_pod_of_the_namespace_is_behind_a_policy_that_lets_nothing_through() -> None:
    for name in ("minikube", "production"):
        (closed,) = [
            one for one in of_kind(overlay(name), "NetworkPolicy") if one["metadata"]["name"] == "nothing-else"
        ]
        assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_on_a_laptop_these_reach_one_another_and_nobody_else() -> None:
    assert matrix(overlay("minikube")) == BASE


def test_in_production_operators_and_prometheus_are_let_in_besides() -> None:
    # PostgreSQL is not ours there; what it lets in is told by whoever runs it.
    at_postgres = {way for way in BASE if "postgres" in way[:2]}
    to_api_server = {("rabbitmq", name, port) for name in CLIENTS for port in (443, 6443)}
    found = {way for way in matrix(overlay("production")) if "postgres" not in way[:2]}

    assert found == (BASE - at_postgres) | NODES | SCRAPED | {("keda", "rabbitmq", 15672)} | to_api_server


@pytest.mark.parametrize("name", ["minikube", "production"])
def test_a_runner_reaches_the_broker_blobs_and_names_and_nothing_else(name: str) -> None:
    reached = {way[1:] for way in matrix(overlay(name)) if way[0] == "runner"}

    assert reached == {("rabbitmq", 5672), ("ingest", 8084), ("dns", 53)}


def test_with_a_deletion_cost_it_reaches_the_api_server_by_its_address_and_no_pod_more() -> None:
    items = combined("deletion-cost", on="overlays/production")
    (policy,) = [one for one in of_kind(items, "NetworkPolicy") if one["metadata"]["name"] == "runner-to-api-server"]

    assert matrix(items) == matrix(overlay("production"))
    assert all(set(peer) == {"ipBlock"} for peer in policy["spec"]["egress"][0]["to"])


def test_with_tracing_every_service_reaches_the_collector_and_nobody_more() -> None:
    ways = matrix(combined("tracing", on="overlays/minikube"))

    assert ways == BASE | {(name, "collector", 4317) for name in SERVICES}
