"""Whatever is put together from base, components and overlays is what Kubernetes and the operators take."""

import copy
import functools
import itertools
import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.deploy.kustomize.rendered import COMPONENTS, OVERLAYS, Item, combined, everything, named, overlay

SCHEMAS = Path(__file__).parent / "schemas"
#: The oldest that gives a pod a preStop sleep, and the newest that there is.
VERSIONS = ("1.30", "1.37")
SCALING = ((), ("autoscaling-hpa",), ("autoscaling-keda",))
ISOLATION = ((), ("strict",), ("strict", "strict-apparmor"))
BROKERS = ("rabbitmq", "rabbitmq-operator")
ALWAYS = ("gateway", "monitoring", "postgres", "tracing")
IN_PRODUCTION = ("autoscaling-keda", "gateway", "monitoring", "rabbitmq-operator")
INSTEAD = ("autoscaling-hpa", "rabbitmq")


@functools.cache
def _problem(written: str) -> str:
    item = json.loads(written)
    try:
        if (schema := SCHEMAS / f"{item['kind']}.json").exists():
            jsonschema.Draft202012Validator(json.loads(schema.read_text())).validate(item)
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(item, version, strict=True)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        return f"{item['kind']} {item['metadata']['name']}: {error}"
    return ""


def problems(items: tuple[Item, ...]) -> list[str]:
    """What is wrong with them."""
    keys = [(item["apiVersion"], item["kind"], item["metadata"]["name"]) for item in items]
    twice = [f"{key} is there twice" for key in set(keys) if keys.count(key) > 1]
    return twice + [problem for item in items if (problem := _problem(json.dumps(item, sort_keys=True)))]


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid(name: str) -> None:
    assert problems(overlay(name)) == []


def test_every_combination_of_components_is_valid() -> None:
    choices = itertools.product(SCALING, ISOLATION, ((), ("kata",)), ((), ("deletion-cost",)))
    # The rest changes nothing that these change, so each broker is there with half of them.
    for (scaling, isolation, kata, cost), broker in zip(choices, itertools.cycle(BROKERS), strict=False):
        chosen = (*scaling, *isolation, *kata, *cost, broker, *ALWAYS)
        assert problems(combined(*chosen)) == [], chosen


def test_every_component_is_among_those_that_were_combined() -> None:
    choices = (*SCALING, *ISOLATION, BROKERS, ALWAYS, ("kata", "deletion-cost"))
    assert {*itertools.chain(*choices)} == set(COMPONENTS)


@pytest.mark.parametrize("name", [name for name in COMPONENTS if name not in (*IN_PRODUCTION, *INSTEAD)])
def test_a_component_can_be_added_to_production(name: str) -> None:
    assert problems(combined(name, on="overlays/production")) == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Deployment", "runner"),
        ("ScaledObject", "runner"),
        ("TriggerAuthentication", "rabbitmq"),
        ("RabbitmqCluster", "rabbitmq"),
        ("Gateway", "taskandgo"),
        ("GRPCRoute", "ingest"),
        ("PodMonitor", "dispatcher-and-runner"),
        ("ServiceMonitor", "ingest-and-monitor"),
        ("PrometheusRule", "taskandgo"),
    ],
)
def test_a_field_that_no_such_object_has_is_found(kind: str, name: str) -> None:
    wrong = copy.deepcopy(named(everything(), kind, name))
    wrong["spec"]["replicaz"] = 3

    assert len(problems((wrong,))) == 1
