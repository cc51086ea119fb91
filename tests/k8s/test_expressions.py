"""CEL rules are evaluated as the API server does, and what is not understood is refused."""

# house: tests chaos/sim/kubernetes_rules, which the mirror leaves out

import pytest

from chaos.sim.kubernetes_rules.expressions import RuleError, evaluate
from trioroute.cli.kubecrd import custom_resource_definition

TRAFFIC = "size(self) == 0 || self.map(k, self[k]).sum() in [0, 100]"


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        (TRAFFIC, {}, True),
        (TRAFFIC, {"a": 90, "b": 10}, True),
        (TRAFFIC, {"a": 90}, False),
        ("!has(self.a) || self.a != 'x'", {"a": "x"}, False),
        ("!has(self.a) && self.b == true", {"b": True}, True),
        ("self.all(k, self[k] >= 0)", {"a": 1, "b": -1}, False),
        ("self.filter(x, x > 1).size() == 2", [1, 2, 3], True),
        ("self.exists(x, x == 'a b && c')", ["a b && c"], True),
    ],
)
def test_rules(rule: str, value: object, holds: bool) -> None:
    assert evaluate(rule, self=value) is holds


@pytest.mark.parametrize(
    "rule", ["self.matches('a')", "self ? 1 : 2", "other == 1", "self.missing == 1"]
)
def test_what_it_does_not_know_is_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        evaluate(rule, self={})


@pytest.mark.parametrize("kind", ["endpoint", "deployment"])
def test_our_own_rules_are_understood(kind: str) -> None:
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    live = {"name": "iris", "endpoint_name": "iris", "traffic": {"blue": 100}}
    other = {**live, "name": "rose", "endpoint_name": "rose", "traffic": {"blue": 1}}
    rules = [rule["rule"] for rule in spec["x-kubernetes-validations"]]
    assert rules
    for rule in rules:
        assert evaluate(rule, self=live, oldSelf=live) is True
        assert evaluate(rule, self=other, oldSelf=live) is False
