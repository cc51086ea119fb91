"""A front-end's settings are checked once, and every mistake is named at once."""

from pathlib import Path

import attrs
import pytest

from consensus import PeerAddress
from trioroute import proxy
from trioroute.app.host.certificates import PeerFiles, ReplicaFiles
from trioroute.app.settings import (
    ClientTrust,
    FrontEndConfig,
    ProxySettings,
    cluster_settings,
    parse_front_end,
    parse_limits,
    voter_count,
)
from trioroute.errors import ConfigError
from trioroute.wire.http import Limits, explain_limits

FILES = PeerFiles(Path("fe-1.pem"), Path("fe-1.key"), Path("authority.pem"))
GIVEN = FrontEndConfig(name="fe-1", data=Path("data"), peers=(), voters=3, peer_files=FILES)
PEERS = "fe-0=127.0.0.1:7946,fe-1=[::1]:7947,fe-2=fe-2.local:7948"


def test_peers_are_read_in_order() -> None:
    config = parse_front_end(GIVEN, PEERS)
    assert config.peers == (
        PeerAddress(name="fe-0", host="127.0.0.1", port=7946),
        PeerAddress(name="fe-1", host="::1", port=7947),
        PeerAddress(name="fe-2", host="fe-2.local", port=7948),
    )
    assert config.own_address.port == 7947
    assert config.voter_names == ("fe-0", "fe-1", "fe-2")


def test_every_mistake_is_named_at_once() -> None:
    config = FrontEndConfig(
        name="FE", data=Path("data"), peers=(), voters=2, workers=-1, admin_port=70000
    )
    with pytest.raises(ConfigError) as raised:
        parse_front_end(config, "fe-0,fe-1=here:port,fe-2=here:0,fe-3=here:1,fe-3=here:2")
    lines = str(raised.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *["--peers"] * 3,
        "--name",
        *["--peers"] * 3,
        "--voters",
        "--workers",
        "--admin-port",
    ]


@pytest.mark.parametrize(("voters", "is_right"), [(0, False), (1, True), (2, False), (5, False)])
def test_voters_are_an_odd_number_of_the_peers(voters: int, is_right: bool) -> None:
    config = attrs.evolve(GIVEN, voters=voters)
    if is_right:
        assert parse_front_end(config, PEERS).voters == voters
    else:
        with pytest.raises(ConfigError, match="--voters"):
            parse_front_end(config, PEERS)


def test_the_first_one_or_three_vote() -> None:
    assert [voter_count(count) for count in (1, 2, 3, 4, 5, 100)] == [1, 1, 3, 3, 3, 3]


def test_peers_on_other_machines_need_certificates() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_front_end(attrs.evolve(GIVEN, peer_files=None), PEERS)
    (message,) = str(raised.value).splitlines()
    assert message.startswith("--peers: fe-2: on other machines")
    assert "--peer-certificate" in message
    here = PEERS.replace("fe-2.local", "localhost")
    assert parse_front_end(attrs.evolve(GIVEN, peer_files=None), here).peer_files is None


@pytest.mark.parametrize(
    ("proxy", "is_right"),
    [("10.0.0.7", True), ("::1", True), ("0:0::1", False), ("edge.example", False)],
)
def test_trusted_proxies_are_addresses_as_sockets_give_them(proxy: str, is_right: bool) -> None:
    config = attrs.evolve(GIVEN, clients=ClientTrust(proxies=(proxy,)))
    if is_right:
        assert parse_front_end(config, PEERS).clients.proxies == (proxy,)
    else:
        with pytest.raises(ConfigError, match="--trusted-proxy"):
            parse_front_end(config, PEERS)


# --- the data plane's


def test_limits_are_given_by_name() -> None:
    limits = parse_limits(["client_idle_s=0.5", "field_count_max=64"])
    assert limits == Limits(client_idle_s=0.5, field_count_max=64)
    assert parse_limits([]) == Limits()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["client_idel_s=5"], "there is no such limit; did you mean client_idle_s?"),
        (["zzz=5"], "there are method_bytes_max, "),
        (["client_idle_s"], "expected NAME=VALUE"),
        (["client_idle_s=soon"], "expected a number of seconds, such as client_idle_s=75.0"),
        (["client_idle_s=-1"], "expected a number of seconds"),
        (["client_idle_s=nan"], "expected a number of seconds"),
        (["client_idle_s=0"], "client_idle_s must be 0.001 to 86400 seconds, it is 0"),
        (["field_count_max=1_0"], "expected a whole number, such as field_count_max=128"),
        (["field_count_max=1.5"], "expected a whole number"),
        (["field_count_max=0"], "field_count_max must be at least 1, it is 0"),
        (["target_bytes_max=7999"], "target_bytes_max must be at least 8000, it is 7999"),
        (["head_bytes_max=9000"], "target_bytes_max is 16384, but a whole head may have only 9000"),
        (["linger_s=1", "linger_s=1"], "linger_s is given twice"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_limits(words)
    assert str(raised.value).startswith("--limit")
    assert said in str(raised.value)


def test_every_mistaken_limit_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        parse_limits(["a=1", "linger_s=x", "b"])
    assert len(str(raised.value).splitlines()) == 3


def test_settings_pass_through_a_command_line_unharmed() -> None:
    limits = Limits(client_idle_s=0.001, linger_s=12.345678901, field_count_max=64)
    files = ReplicaFiles(Path("ca.pem"), Path("own.pem"), Path("own.key"))
    words = ProxySettings(limits=limits, replica_files=files, access_log_per_s=9).options()
    given = [word.removeprefix("--limit=") for word in words if word.startswith("--limit=")]
    assert parse_limits(given) == limits
    assert words[len(given) :] == [
        "--access-log-per-s=9",
        "--replica-authority=ca.pem",
        "--replica-certificate=own.pem",
        "--replica-key=own.key",
    ]
    assert ProxySettings().options() == []


def test_the_manual_has_every_limit_as_it_is() -> None:
    manual = Path(proxy.__path__[0], "README.md").read_text(encoding="utf-8")
    rows = ["| `{}` | {} | {} | {} |".format(*limit) for limit in explain_limits()]
    table = manual.partition("| limit | default | struck | why |\n|---|---|---|---|\n")[2]
    assert table.partition("\n\n")[0].splitlines() == rows


def test_front_ends_are_looked_at_only_where_there_is_a_cluster() -> None:
    found = cluster_settings("models", None, front_ends_namespace="front-ends")
    assert found is not None
    assert found.front_ends_namespace == "front-ends"
    with pytest.raises(ConfigError, match="give --kubernetes-namespace with them"):
        cluster_settings(None, None, front_ends_namespace="front-ends")
    with pytest.raises(ConfigError, match="'' is no name of a namespace"):
        cluster_settings("models", None, front_ends_namespace="")
