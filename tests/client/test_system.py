"""A system is whichever front-end answers."""

from pathlib import Path

import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
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
