"""A front-end's settings are checked once, and every mistake is named at once."""

from pathlib import Path

import attrs
import pytest

from consensus import PeerAddress
from trioroute.app.host.certificates import PeerFiles
from trioroute.app.settings import ClientTrust, FrontEndConfig, parse_front_end, voter_count
from trioroute.errors import ConfigError

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
