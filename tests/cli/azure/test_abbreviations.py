"""Abbreviated flags, as az takes them."""

import json

import click
import pytest

from tests.cli.console import Console
from trioroute.cli.azure.abbreviations import _whole
from trioroute.cli.azure.deployment import online_deployment
from trioroute.cli.azure.endpoint import online_endpoint

#: Each command of az and its flags, as azure-reference.md, section 17, lists them.
FLAGS = {
    "online-endpoint create": "--name -n --file -f --auth-mode --local --no-wait --set --web",
    "online-endpoint update": "--name -n --file -f --traffic -r --mirror-traffic --set --add "
    "--remove --force-string --local --no-wait",
    "online-endpoint delete": "--name -n --yes -y --no-wait --local",
    "online-endpoint show": "--name -n --local",
    "online-endpoint list": "--local",
    "online-endpoint invoke": "--name -n --request-file -r --deployment-name -d --local",
    "online-endpoint get-credentials": "--name -n",
    "online-endpoint regenerate-keys": "--name -n --key-type --no-wait",
    "online-deployment create": "--file -f --name -n --endpoint-name -e --all-traffic --local "
    "--no-wait --set --skip-script-validation --vscode-debug --local-enable-gpu --web",
    "online-deployment update": "--name -n --endpoint-name -e --file -f --set --add --remove "
    "--local --no-wait",
    "online-deployment delete": "--name -n --endpoint-name -e --yes -y --local",
    "online-deployment show": "--name -n --endpoint-name -e --local",
    "online-deployment list": "--endpoint-name -e --local",
    "online-deployment get-logs": "--name -n --endpoint-name -e --lines -l --container -c --local",
}
EVERYWHERE = "-o --output --query -g --resource-group -w --workspace-name --subscription"
GROUPS = {"online-endpoint": online_endpoint, "online-deployment": online_deployment}


def options_of(name: str) -> list[str]:
    group, verb = name.split()
    return [option for param in GROUPS[group].commands[verb].params for option in param.opts]


@pytest.mark.parametrize("name", FLAGS)
def test_every_flag_of_az_is_taken_and_every_beginning_of_it(name: str) -> None:
    known = options_of(name)
    wanted = [*FLAGS[name].split(), *EVERYWHERE.split()]
    assert [flag for flag in wanted if flag not in known] == []
    group, verb = name.split()
    context = click.Context(GROUPS[group].commands[verb])
    whole = [flag for flag in known if flag.startswith("--")]
    for flag in whole:
        for end in range(len("--x"), len(flag)):
            word = flag[:end]
            meant = [other for other in whole if other.startswith(word)]
            if word in whole or len(meant) == 1:
                expected = word if word in whole else flag
                assert _whole(f"{word}=x", whole, context) == f"{expected}=x"
            else:
                with pytest.raises(click.UsageError, match=meant[0]):
                    _whole(word, whole, context)


def test_there_is_no_other_command() -> None:
    found = {f"{group} {verb}" for group, made in GROUPS.items() for verb in made.commands}
    assert found == FLAGS.keys()


def test_several_values_after_one_flag(console: Console) -> None:
    console(f"apply {console.write('blue', 'green')}")
    console("online-endpoint update -n fraud --set tags.a=1 tags.b=2 --local")
    console("online-endpoint update --traffic blue=90 green=10 --name fraud")
    shown = json.loads(console("online-endpoint show -n fraud"))
    assert shown["tags"] == {"a": 1, "b": 2}
    assert shown["traffic"] == {"blue": 90, "green": 10}


def test_any_unambiguous_beginning_will_do(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    whole = console("online-deployment show --endpoint-name fraud --name blue")
    assert console("online-deployment show --endpoint fraud -n blue -g rg -w ws") == whole
    assert console("online-deployment show --end=fraud --na blue --only-show-errors") == whole
    console("online-deployment show --e fraud --unknown x", status=2)


def test_an_ambiguous_beginning_names_what_it_could_be(console: Console) -> None:
    console("online-endpoint show --name fraud --o json --s x", status=2)
    console("online-endpoint update -n fraud --a x", status=2)
    assert "--add or --admin" in console.err
