"""The bands' numbers are on the wire: they never change."""

from trioroute.core.slots.priority import Priority


def test_the_order_of_service_is_that_of_the_numbers() -> None:
    assert [each.name for each in sorted(Priority)] == ["HIGH", "NORMAL", "LOW"]
    assert [int(each) for each in Priority] == [0, 1, 2]
