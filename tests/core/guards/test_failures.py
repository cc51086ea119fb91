"""Guesses are slowed down, and nobody else is."""

from trioroute.core.guards.failures import FailureLimits

GUESS, KNOWN = b"guess", b"known"


def failing(limits: FailureLimits, address: str, count: int, now: float = 0.0) -> None:
    for _ in range(count):
        limits.note_failure(address, now)


def test_an_address_waits_after_a_burst_and_is_forgiven_with_time() -> None:
    limits = FailureLimits(burst=5, per_s=1.0)
    failing(limits, "10.0.0.1", 4)
    assert limits.wait_s("10.0.0.1", GUESS, 0.0) == 0.0
    failing(limits, "10.0.0.1", 1)
    assert limits.wait_s("10.0.0.1", GUESS, 0.0) == 1.0
    assert limits.wait_s("10.0.0.1", GUESS, 0.5) == 0.5
    assert limits.wait_s("10.0.0.1", GUESS, 1.1) == 0.0
    assert limits.wait_s("10.0.0.2", GUESS, 0.0) == 0.0


def test_tries_while_waiting_do_not_lengthen_the_wait_for_ever() -> None:
    limits = FailureLimits(burst=5, per_s=1.0)
    failing(limits, "10.0.0.1", 1_000)
    assert limits.wait_s("10.0.0.1", GUESS, 0.0) == 1.0


def test_a_guesser_gets_no_more_tries_than_the_rate_allows() -> None:
    limits = FailureLimits(burst=20, per_s=1.0)
    tried = 0
    for step in range(6_000):  # a minute, 100 tries a second
        now = step / 100
        if not limits.wait_s("10.0.0.1", GUESS, now):
            tried += 1
            limits.note_failure("10.0.0.1", now)
    assert tried <= 20 + 60


def test_a_credential_that_opened_something_is_never_held_up() -> None:
    limits = FailureLimits(burst=1)
    limits.note_success(KNOWN)
    failing(limits, "10.0.0.1", 10)
    assert limits.wait_s("10.0.0.1", KNOWN, 0.0) == 0.0
    assert limits.wait_s("10.0.0.1", GUESS, 0.0) > 0.0


def test_a_host_has_one_ipv6_network() -> None:
    limits = FailureLimits(burst=1)
    failing(limits, "2001:db8:0:1::5", 1)
    assert limits.wait_s("2001:db8::1:ffff:0:0:1", GUESS, 0.0) > 0.0
    assert limits.wait_s("2001:db8:0:2::5", GUESS, 0.0) == 0.0
    failing(limits, "not:an:address", 1)
    assert limits.wait_s("not:an:address", GUESS, 0.0) > 0.0


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    limits = FailureLimits(burst=1, addresses_max=100, credentials_max=100)
    for number in range(1_000):
        limits.note_failure(f"host-{number}", 0.0)
        limits.note_success(b"%d" % number)
    held = [n for n in range(1_000) if limits.wait_s(f"host-{n}", GUESS, 0.0)]
    assert held == list(range(900, 1_000))
    failing(limits, "elsewhere", 1)
    passed = [n for n in range(1_000) if not limits.wait_s("elsewhere", b"%d" % n, 0.0)]
    assert passed == list(range(900, 1_000))
