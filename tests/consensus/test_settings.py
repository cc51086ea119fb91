"""Settings that cannot work together are refused before anything starts."""

import pytest

from consensus import MemberConfig, PeerAddress, SettingsError, Timings

PEERS = tuple(PeerAddress(name=f"fe-{number}", host="h", port=1) for number in range(4))


@pytest.mark.parametrize(
    "change",
    [
        {"heartbeat_s": 0.22},
        {"election_max_s": 0.5},
        {"fallback_s": 0.7},
        {"authority_s": 0.62},
        {"silence_s": 0.6},
        {"silence_s": 0.7},
    ],
)
def test_timings_must_keep_their_order(change: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="timings must satisfy"):
        Timings(**change)


def test_a_voter_holds_longer_than_a_leader_claims() -> None:
    timings = Timings()
    assert timings.authority_span_s < timings.authority_s < timings.vote_hold_s


@pytest.mark.parametrize(
    ("name", "peers", "voters", "complaint"),
    [
        ("fe-9", PEERS, ("fe-0",), "not among the peers"),
        ("fe-0", PEERS + PEERS[:1], ("fe-0",), "same name"),
        ("fe-0", PEERS, ("fe-0", "fe-0", "fe-1"), "distinct"),
        ("fe-0", PEERS, ("fe-0", "fe-1", "fe-9"), "be peers"),
        ("fe-0", PEERS, ("fe-0", "fe-1"), "1, 3 or 5"),
    ],
)
def test_a_group_must_make_sense(
    name: str, peers: tuple[PeerAddress, ...], voters: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        MemberConfig(name=name, peers=peers, voters=voters)


def test_who_votes_is_said_by_the_list() -> None:
    voters = ("fe-0", "fe-1", "fe-2")
    assert MemberConfig(name="fe-2", peers=PEERS, voters=voters).votes
    observer = MemberConfig(name="fe-3", peers=PEERS, voters=voters)
    assert not observer.votes
    assert observer.address("fe-1") == PEERS[1]
