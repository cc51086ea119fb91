"""What is known of a holder."""

from trioroute.core.directory.holders import HolderRecord


def test_one_that_never_spoke_is_not_dead_for_that() -> None:
    assert not HolderRecord("w0").is_dead


def test_proof_holds_for_incarnations_up_to_the_one_that_ended() -> None:
    holder = HolderRecord("w0", incarnation=7, dead=7)
    assert holder.is_dead
    holder.incarnation = 8
    assert not holder.is_dead


def test_a_session_that_ended_says_nothing_about_what_runs() -> None:
    holder = HolderRecord("w0", in_session=True, reported=True, busy={"r0": 1}, expires_at=3.0)
    holder.hang_up()
    assert (holder.in_session, holder.reported, holder.busy) == (False, False, {})
    assert holder.expires_at == 3.0


def test_requests_with_a_slot_and_without_count_alike() -> None:
    holder = HolderRecord("w0", busy={"r0": 0b101}, unnumbered={"r0": 3, "r1": 1})
    assert [holder.runs_on(name) for name in ("r0", "r1", "r2")] == [5, 1, 0]
    holder.unnumbered = None  # of an earlier version
    assert holder.runs_on("r0") == 2
