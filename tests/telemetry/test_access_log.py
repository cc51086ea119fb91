"""Access-log lines, and what happens when the writer is behind."""

import json
import re
from pathlib import Path

import pytest

from trioroute import telemetry
from trioroute.telemetry.access_log import AccessLog, AccessRecord


def test_each_record_is_one_line_of_json() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append)
    log.record(AccessRecord(ts=1.5, request_id="a", endpoint="echo", status=200, total_s=0.25))
    log.record(AccessRecord(ts=2.5, request_id="line\nbreak"))
    log.flush()
    first, second = b"".join(written).splitlines()
    assert json.loads(first) | {"ts": 1.5, "endpoint": "echo", "total_s": 0.25} == json.loads(first)
    assert json.loads(second)["request_id"] == "line\nbreak"


def test_the_fields_are_those_that_users_rely_on() -> None:
    fields = (
        *("ts", "request_id", "client_request_id", "trace_id", "front_end", "worker", "address"),
        *("method", "endpoint", "deployment", "replica", "slot", "epoch", "status", "reason"),
        *(
            "is_broken",
            "bytes_in",
            "bytes_out",
            "queue_s",
            "route_s",
            "connect_s",
            "upstream_s",
            "head_s",
            "total_s",
            "attempts",
        ),
    )
    assert tuple(json.loads(_encoded(AccessRecord(ts=0, request_id="")))) == fields


def test_a_full_queue_drops_and_counts() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append, pending_max=2)
    for i in range(5):
        log.record(AccessRecord(ts=0, request_id=str(i)))
    assert log.dropped == 3
    log.flush()
    log.record(AccessRecord(ts=0, request_id="after"))
    log.flush()
    kept = [json.loads(line)["request_id"] for line in b"".join(written).splitlines()]
    assert kept == ["0", "1", "after"]


def test_so_many_lines_a_second_and_no_more() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append, per_s_max=2)
    for second, count in ((100, 3), (101, 1), (102, 5)):
        for i in range(count):
            log.record(AccessRecord(ts=second + i / 10, request_id=""))
    log.flush()
    seconds = [int(json.loads(line)["ts"]) for line in b"".join(written).splitlines()]
    assert seconds == [100, 100, 101, 102, 102]
    assert log.dropped == 4


def test_nothing_queued_writes_nothing() -> None:
    written: list[bytes] = []
    AccessLog(written.append).flush()
    assert written == []


def test_long_queues_are_written_in_several_pieces_in_order() -> None:
    written: list[bytes] = []
    log = AccessLog(written.append)
    for i in range(2_500):
        log.record(AccessRecord(ts=i, request_id=""))
    log.flush()
    assert len(written) == 3
    assert [json.loads(line)["ts"] for line in b"".join(written).splitlines()] == list(range(2_500))


def test_a_failed_write_is_told_and_counted() -> None:
    def fail(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    log = AccessLog(fail)
    log.record(AccessRecord(ts=0, request_id=""))
    with pytest.raises(OSError, match="No space"):
        log.flush()
    assert log.dropped == 1


def _encoded(record: AccessRecord) -> bytes:
    written: list[bytes] = []
    log = AccessLog(written.append)
    log.record(record)
    log.flush()
    return b"".join(written)


def test_the_manual_explains_every_field() -> None:
    manual = Path(telemetry.__path__[0], "README.md").read_text().partition("## Access log")[2]
    explained = {
        name
        for first_cell in re.findall(r"^\| (`.+?) \|", manual, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", first_cell)
    }
    assert explained == set(AccessRecord.__struct_fields__)
