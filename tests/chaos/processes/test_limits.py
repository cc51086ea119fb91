"""A limit is met by arithmetic, and the kernel's word for it is read as it writes it."""

# house: tests chaos/processes/ways/limits.py, a folder deeper than tests have

import resource
import subprocess
import sys

import pytest

from chaos.processes.ways.limits import Table, counted, limit_above, open_numbers


@pytest.mark.parametrize("numbers", [{0, 1, 2}, {0, 1, 2, 3, 9}, {5}, set[int]()])
def test_no_descriptor_is_above_the_limit_and_the_table_tells_what_is_left(
    numbers: set[int],
) -> None:
    limit = limit_above(frozenset(numbers), 3)
    assert all(number < limit for number in numbers)
    free = set(range(limit)) - numbers
    assert Table(frozenset(numbers), limit).free == len(free) >= 3
    assert Table(frozenset(numbers | free), limit).free == 0


def test_a_process_under_it_can_open_so_many_and_the_table_says_that_it_is_full() -> None:
    script = """
import sys
opened = []
print("ready", flush=True)
sys.stdin.readline()
try:
    while True:
        opened.append(open("/dev/null"))
except OSError as error:
    print(len(opened), error.errno, flush=True)
sys.stdin.readline()
"""
    command = [sys.executable, "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        limit = limit_above(frozenset({0, 1, 2}), 3)
        _, hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (limit, hard))
        print(file=child.stdin, flush=True)
        assert child.stdout.readline().split() == ["3", "24"]
        assert Table(open_numbers(child.pid), limit).free == 0
        print(file=child.stdin, flush=True)


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("nr_periods 30\nnr_throttled 12\n", "nr_throttled", 12),
        ("17\n", "", 17),
        ("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\n", "max", 4),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", "oom_kill", 2),
        ("", "max", 0),
    ],
)
def test_the_kernels_counts_are_read_in_both_versions(text: str, name: str, count: int) -> None:
    assert counted(text, name) == count
