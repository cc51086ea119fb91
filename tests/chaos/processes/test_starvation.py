"""Who waits for a core tells that the machine is busy, unless front-ends have all the cores."""

from chaos.processes.starvation import Used, is_starved


def used(**of: tuple[float, float]) -> dict[int, Used]:
    """What processes had, by a letter each: seconds running and waiting."""
    return {
        ord(name): Used(int(ran * 1e9), int(waited * 1e9)) for name, (ran, waited) in of.items()
    }


def test_a_process_that_waits_for_most_of_the_time_was_starved() -> None:
    assert is_starved(used(a=(1, 1), b=(1, 1)), used(a=(1.2, 1), b=(1.1, 1.3)), 0.5, 2)
    assert not is_starved(used(a=(1, 1), b=(1, 1)), used(a=(1.2, 1.1), b=(1.1, 1.1)), 0.5, 2)


def test_this_process_is_one_too() -> None:
    assert is_starved({}, {}, 0.8, 2)
    assert not is_starved({}, {}, 0.7, 2)


def test_who_came_or_went_meanwhile_or_was_given_little_cpu_says_nothing() -> None:
    assert not is_starved(used(a=(1, 1)), used(b=(1.1, 1.4)), 0.5, 2)


def test_front_ends_that_have_the_cores_themselves_are_not_starved() -> None:
    # One spins, the others wait for it: 0.65 of a second of two cores' half.
    before, now = used(a=(1, 1), b=(1, 1)), used(a=(1.5, 1), b=(1.15, 1.3))
    assert not is_starved(before, now, 0.5, 2)
    assert is_starved(before, now, 0.5, 4)
