"""Reading unchecked manifests: policies use what can be read, costs refuse to guess."""

from decimal import Decimal
from typing import Any

import pytest

from tierup.cost import bill_of_resources
from tierup.policies.pod_security import pod_security
from tierup.resources.model import SECRET, UNKNOWN, Resource
from tierup.resources.reading import (
    Unreadable,
    checked_list,
    checked_mapping,
    checked_text,
    dig,
    elements,
    fields,
    is_other_than,
    mappings,
    quantity,
    whole_number,
)

MALFORMED = ("a word", 7, True)
HIDDEN = (SECRET, UNKNOWN)


def deployment(name: str, spec: Any) -> Resource:
    type_ = "kubernetes:apps/v1:Deployment"
    urn = f"urn:pulumi:demo::demo::{type_}::{name}"
    return Resource(urn, type_, name, None, {"metadata": {"name": name}, "spec": spec})


def of_one_pod(pod: Any) -> Any:
    return {"replicas": 1, "template": {"spec": pod}}


@pytest.mark.parametrize("containers", [*MALFORMED, *HIDDEN, [7], ["a word"]])
def test_a_pod_whose_containers_cannot_be_read_is_judged_for_the_rest_and_not_priced(containers: Any) -> None:
    item = deployment("web", of_one_pod({"hostNetwork": True, "containers": containers}))
    assert [problem.path for problem in pod_security(item)] == ["spec.template.spec.hostNetwork"]
    assert bill_of_resources([item]).unknown == ("kubernetes:apps/v1:Deployment web",)


def test_missing_fields_are_no_error_for_policies_or_costs() -> None:
    tree: dict[str, Any] = {"spec": {}, "nothing": None}
    for key in ("absent", "nothing"):
        assert dig(tree, "spec", key) is dig(tree, key) is None
        assert elements(tree.get(key)) == ()
        assert fields(tree.get(key)) == checked_mapping(tree, key) == {}
        assert checked_list(tree, key) == ()
        assert checked_text(tree, key) is None
        assert not is_other_than(tree.get(key), "allowed")


@pytest.mark.parametrize("value", MALFORMED)
def test_malformed_fields_are_missing_for_policies_and_refused_for_costs(value: Any) -> None:
    tree = {"spec": value}
    assert dig(tree, "spec", "replicas") is None
    assert (list(elements(value)), list(mappings(value)), fields(value)) == ([], [], {})
    for read in (checked_mapping, checked_list):
        with pytest.raises(Unreadable, match="spec"):
            read(tree, "spec")


@pytest.mark.parametrize("value", HIDDEN)
def test_hidden_fields_are_unknown_for_policies_and_refused_for_costs(value: str) -> None:
    tree = {"spec": value}
    assert dig(tree, "spec", "replicas") == UNKNOWN
    assert not is_other_than(value, "allowed"), "an unknown value is not a violation"
    for read in (checked_mapping, checked_list, checked_text):
        with pytest.raises(Unreadable, match="spec"):
            read(tree, "spec")


def test_the_valid_elements_of_a_list_keep_their_index() -> None:
    assert list(mappings([7, {"name": "second"}, SECRET])) == [(1, {"name": "second"})]
    with pytest.raises(Unreadable):
        checked_list({"containers": [7, {"name": "second"}]}, "containers")


@pytest.mark.parametrize(
    ("value", "number"),
    [("20Gi", 20 * 1024**3), ("1.5k", 1500), ("100m", "0.1"), (4, 4), ("4", 4), ("0", 0)],
)
def test_quantities_are_those_of_kubernetes(value: object, number: object) -> None:
    assert quantity(value) == Decimal(str(number))


@pytest.mark.parametrize("value", [*HIDDEN, None, "", "Gi", "-1", "NaN", "1e400", "9e999999999", [], {}])
def test_a_quantity_of_another_form_is_refused(value: object) -> None:
    for read in (quantity, whole_number):
        with pytest.raises(Unreadable):
            read(value)


def test_half_a_replica_is_no_count() -> None:
    assert whole_number("2.0") == 2
    with pytest.raises(Unreadable):
        whole_number("0.5")
