"""A system is whichever front-end answers."""

from pathlib import Path

import attrs
import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.system import System, find_system
from trioroute.errors import NoCoordinatorError
from trioroute.wire.resources import Resources, Written

DEAD = "http://127.0.0.1:9"


def test_the_next_front_end_is_asked_when_one_is_dead() -> None:
    with running_admin(SmallView()) as url:
        system = System(admin_urls=(DEAD, url))
        assert system.ask("GET", "/v1/registry", kind=Resources).index == 0
        assert system.status() is not None


def test_nobody_is_told_after_a_while() -> None:
    system = System(admin_urls=(DEAD,))
    with pytest.raises(UnreachableError):
        system.ask("GET", "/v1/registry", kind=Resources, timeout_s=0.1)
    assert system.status() is None


def test_the_want_of_a_coordinator_is_waited_out_but_not_for_ever() -> None:
    desk = SmallDesk(failure=NoCoordinatorError("none"))
    with running_admin(SmallView(), desk=desk) as url:
        system = System(admin_urls=(url,))
        with pytest.raises(ProblemAnswerError, match="TR0810"):
            system.ask("DELETE", "/v1/endpoints/echo", kind=Written, timeout_s=0.1)


def test_who_has_not_applied_enough_is_not_believed() -> None:
    with running_admin(SmallView()) as url:
        system = System(admin_urls=(url,))
        assert system.status(applied=11) is not None
        assert system.status(applied=12) is None


def test_the_arguments_come_before_the_environment(tmp_path: Path) -> None:
    environment = {"TRIOROUTE_ADMIN": "http://a:1, http://b:2/", "TRIOROUTE_TOKEN": "t"}
    named = find_system(None, None, environment)
    assert named.admin_urls == ("http://a:1", "http://b:2")
    assert named.token == "t"
    assert "'t'" not in repr(named)
    assert find_system("http://c:3", None, environment).admin_urls == ("http://c:3",)
    with pytest.raises(UnreachableError, match="no running system"):
        find_system(None, tmp_path, environment)
    (tmp_path / "up.json").write_text(
        '{"scoring_url": "http://s", "admin_urls": {"x": "http://d"}}'
    )
    assert find_system(None, tmp_path, {}).scoring_url == "http://s"
    assert find_system(None, None, {"TRIOROUTE_DATA": str(tmp_path)}).admin_urls == ("http://d",)


def test_the_front_ends_say_where_clients_score() -> None:
    assert STATUS.reporter == "fe-0"
    for said, found in (
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://[::]:8080", "http://127.0.0.1:8080"),
        ("", ""),
    ):
        rows = tuple(attrs.evolve(row, scoring_url=said) for row in STATUS.front_ends)
        view = SmallView(current=attrs.evolve(STATUS, front_ends=rows))
        with running_admin(view) as url:
            assert System(admin_urls=(DEAD, url)).find_scoring_url() == found
    given = System(admin_urls=(DEAD,), scoring_url="http://given")
    assert given.find_scoring_url() == "http://given"


def test_front_ends_without_known_names_are_known_by_their_address() -> None:
    assert System(admin_urls=("a", "b")).named_urls() == {"a": "a", "b": "b"}
    assert System(admin_urls=("a",), names=("fe-0",)).named_urls() == {"fe-0": "a"}
