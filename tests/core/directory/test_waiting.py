"""Requests in line, by age."""

from trioroute.core.directory.waiting import WaitingLine, WaitingRequest


def test_the_oldest_is_first_whatever_the_order_of_arrival_here() -> None:
    line = WaitingLine()
    for age, number in ((5.0, 1), (3.0, 2), (4.0, 3)):
        line.add(WaitingRequest(1, age, "w0", number))
    assert [request.number for request in line] == [2, 3, 1]


def test_asking_twice_keeps_the_first_place() -> None:
    line = WaitingLine()
    line.add(WaitingRequest(1, 1.0, "w0", 1))
    line.add(WaitingRequest(1, 0.5, "w0", 1))
    assert list(line) == [WaitingRequest(1, 1.0, "w0", 1)]


def test_who_leaves_is_gone_and_only_once() -> None:
    line = WaitingLine()
    line.add(WaitingRequest(1, 1.0, "w0", 1))
    line.add(WaitingRequest(1, 1.0, "w1", 1))
    assert line.remove("w0", 1)
    assert not line.remove("w0", 1)
    assert [request.holder for request in line] == ["w1"]


def test_a_lost_holder_takes_all_its_requests_along() -> None:
    line = WaitingLine()
    for number in range(3):
        line.add(WaitingRequest(1, float(number), f"w{number % 2}", number))
    line.remove_holder("w0")
    assert [request.number for request in line] == [1]
    assert not line.remove("w0", 0)
    assert len(line) == 1


def test_bands_come_before_age_and_count_what_is_ahead() -> None:
    line = WaitingLine()
    for priority, age in ((2, 1.0), (1, 2.0), (0, 3.0), (1, 1.5)):
        line.add(WaitingRequest(priority, age, "w0", int(age * 10), 7))
    assert [each.number for each in line] == [30, 15, 20, 10]
    assert [line.ahead_of(priority) for priority in (0, 1, 2)] == [1, 3, 4]
    assert (line.last.number, line.size) == (10, 28)
    line.remove("w0", 10)
    assert line.size == 21
    line.remove_holder("w0")
    assert line.size == 0
