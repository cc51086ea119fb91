"""Updates that lose nothing."""

from pathlib import Path

import pytest

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from tests.client.running_admin import running_admin
from trioroute.client.editing import Changes, create, load_one, update
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System
from trioroute.core.model import ScriptSource
from trioroute.core.resources.commands import SetTraffic
from trioroute.errors import ConfigError
from trioroute.spec.problems import SpecError


def test_a_faster_writer_s_change_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "e.yml"
    file.write_text("name: echo\nauth_mode: key\ntags: {a: '1'}\n")
    desk = SmallDesk()
    with running_admin(SmallView(), desk=desk) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        create(client, load_one(client, "endpoint", file))
        desk.before.append(SetTraffic(endpoint="echo", traffic={}, mirror_traffic={}))
        update(client, "echo", None, Changes(sets=["tags.b=2"], adds=[], removes=["tags.a"]))
        with pytest.raises(ConfigError, match="describes an endpoint, not a deployment"):
            load_one(client, "deployment", file)
    assert desk.state.endpoints["echo"].tags == {"b": 2}


def test_a_change_of_traffic_names_what_exists_and_others_are_not_held_up(tmp_path: Path) -> None:
    endpoint, blue = tmp_path / "e.yml", tmp_path / "blue.yml"
    endpoint.write_text("name: echo\nauth_mode: key\ntraffic: {green: 100}\n")
    blue.write_text(
        "name: blue\nendpoint_name: echo\ntype: kubernetes\n"
        "properties: {trioroute.addresses: '127.0.0.1:9401'}\n"
    )
    with running_admin(SmallView(), desk=SmallDesk()) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        create(client, load_one(client, "endpoint", endpoint))
        create(client, load_one(client, "deployment", blue))
        with pytest.raises(SpecError, match="no deployment bleu") as caught:
            update(client, "echo", None, Changes(sets=["traffic.bleu=100", "traffic.green=0"]))
        assert caught.value.problems[0].hint == "did you mean blue?"
        # The share that green has for when it comes was given before.
        update(client, "echo", None, Changes(sets=["tags.b=2"]))
        assert client.endpoint("echo").traffic == {"green": 100}


def test_another_number_of_instances_applies_no_edited_code(tmp_path: Path) -> None:
    endpoint, blue = tmp_path / "e.yml", tmp_path / "blue.yml"
    endpoint.write_text("name: echo\nauth_mode: key\n")
    blue.write_text(
        "name: blue\nendpoint_name: echo\ninstance_type: any\n"
        "code_configuration: {code: ., scoring_script: score.py}\n"
    )
    (tmp_path / "score.py").write_text("one")
    desk = SmallDesk()

    def revision() -> str:
        source = desk.state.deployments["echo/blue"].source
        assert isinstance(source, ScriptSource)
        return source.revision

    with running_admin(SmallView(), desk=desk) as url:
        client = ResourceClient(System(admin_urls=(url,)))
        create(client, load_one(client, "endpoint", endpoint))
        create(client, load_one(client, "deployment", blue))
        applied = revision()
        (tmp_path / "score.py").write_text("edited")
        update(client, "echo", "blue", Changes(named={"instance_count": 3}))
        assert desk.state.deployments["echo/blue"].scale.instance_count == 3
        assert revision() == applied
        # A file that names the code applies what it is now.
        update(client, "echo", "blue", Changes(file=blue))
        assert revision() != applied


def test_a_file_changes_only_what_it_names() -> None:
    changes = Changes(named={"instance_count": 3})
    old = {"name": "blue", "instance_count": 1, "tags": {"a": 1}}
    made = changes.made_in(old, {"tags": {"b": 2}})
    assert made == {"name": "blue", "instance_count": 3, "tags": {"a": 1, "b": 2}}
