"""A check that is well has nothing to mend."""

from trioroute.cli.system.verdicts import Check, Verdict, judge


def test_only_what_is_wrong_has_a_fix() -> None:
    assert judge("a.b", True, "well", "mend it") == Check("a.b", Verdict.GOOD, "well")
    wrong = judge("a.b", False, "not well", "mend it", bad=Verdict.WARNING)
    assert wrong == Check("a.b", Verdict.WARNING, "not well", "mend it")
