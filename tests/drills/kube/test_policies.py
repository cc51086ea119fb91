"""What NetworkPolicies let through, and the one that parts a front-end, by a second opinion."""

from typing import Any

import pytest

from chaos.sim.kubernetes_cluster.network import may_dial
from tests.drills.kube.installation import LABELS, front_end, policy
from trioroute.drills.kube.policies import (
    CUT_LABEL,
    allows,
    cut_policy,
    peers_port,
    selecting,
)

Json = dict[str, Any]

PEERS = 7946
OPEN = (8080, 9090, 9091)
HERE = front_end("trioroute-0", **{CUT_LABEL: "trioroute-0"})
THERE = front_end("trioroute-1")
STRANGER: Json = {"metadata": {"labels": {"app": "other"}}, "spec": {"containers": [{}]}}


def test_a_parted_pod_keeps_all_but_its_peers() -> None:
    """By the toy network's own reading of policies, which shares no line with ours."""
    whole = front_end("trioroute-0")
    policies = [policy(), cut_policy(whole, [policy()], until="")]
    for one, other in ((HERE, THERE), (THERE, HERE)):
        assert not may_dial(policies, one, other, PEERS)
        assert all(may_dial(policies, one, other, port) for port in OPEN)
    assert may_dial(policies, front_end("trioroute-2"), THERE, PEERS)
    # Unlabelled it is as before, whether the drill's policy is still there or not.
    assert may_dial(policies, whole, THERE, PEERS)
    assert may_dial(policies, THERE, whole, PEERS)
    assert not may_dial(policies, STRANGER, HERE, PEERS)


def test_what_was_closed_before_stays_closed() -> None:
    shut = policy()
    shut["spec"]["ingress"] = [{"ports": [{"port": "scoring"}, {"port": PEERS}]}]
    shut["spec"]["egress"] = []
    made = cut_policy(front_end("trioroute-0"), [shut], until="")
    assert made["spec"]["ingress"] == [{"ports": [{"port": "scoring"}]}]
    assert made["spec"]["egress"] == []
    assert not may_dial([made], THERE, HERE, 9090)


def test_without_any_policy_all_other_ports_stay_open() -> None:
    made = cut_policy(front_end("trioroute-0"), [], until="")
    assert "egress" not in made["spec"]
    assert [may_dial([made], THERE, HERE, port) for port in (*OPEN, PEERS)] == [True] * 3 + [False]


@pytest.mark.parametrize(
    ("rule", "is_allowed"),
    [
        ({}, True),
        ({"ports": [{"port": "peers"}]}, True),
        ({"ports": [{"port": 7946}]}, True),
        ({"ports": [{"port": 7000, "endPort": 8000}]}, True),
        ({"ports": [{"port": 7000, "endPort": 7945}]}, False),
        ({"ports": [{"port": "admin"}]}, False),
        ({"from": [{"podSelector": {}}]}, True),
        ({"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}, False),
        ({"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}, True),
        ({"from": [{"podSelector": {"matchLabels": LABELS}}]}, True),
    ],
)
def test_what_cannot_be_told_counts_as_allowed(rule: Json, is_allowed: bool) -> None:
    one = policy()
    one["spec"]["ingress"] = [rule]
    dialler = HERE["metadata"]["labels"]
    assert allows([one], THERE, PEERS, dialler) is is_allowed
    assert allows([], THERE, PEERS, dialler)


@pytest.mark.parametrize(
    ("expression", "is_chosen"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "DoesNotExist"}, False),
        ({"operator": "In", "values": ["trioroute-0"]}, True),
        ({"operator": "In", "values": ["trioroute-1"]}, False),
        ({"operator": "NotIn", "values": ["trioroute-1"]}, True),
    ],
)
def test_selectors_choose_as_kubernetes_does(expression: Json, is_chosen: bool) -> None:
    one = policy()
    one["spec"]["podSelector"] = {"matchExpressions": [{"key": CUT_LABEL, **expression}]}
    assert bool(selecting([one], HERE["metadata"]["labels"])) is is_chosen


def test_the_installed_policy_makes_the_exception() -> None:
    assert not selecting([policy()], HERE["metadata"]["labels"])
    assert not allows([policy()], THERE, PEERS, HERE["metadata"]["labels"])
    assert peers_port(HERE) == PEERS
    assert peers_port(STRANGER) is None
