"""online-endpoint, as in Azure's scripts."""

import json

from tests.cli.console import Console


def test_a_life_of_an_endpoint(console: Console) -> None:
    console.write()
    made = json.loads(console(f"online-endpoint create -n fraud -f {console.folder}/endpoint.yml"))
    assert (made["name"], made["provisioning_state"]) == ("fraud", "Succeeded")
    assert made["scoring_uri"].endswith("/api/v1/service/fraud/score")
    console(f"online-endpoint create -f {console.folder}/endpoint.yml", status=5)
    assert "exists already" in console.err
    console(f"online-endpoint create -f {console.folder}/endpoint.yml --exist-ok")
    console("online-endpoint update -n fraud --set tags.team=risk")
    console("online-endpoint update -n fraud --traffic blue=0")
    shown = json.loads(console("online-endpoint show -n fraud"))
    assert (shown["tags"], shown["traffic"]) == ({"team": "risk"}, {})
    console("online-endpoint update -n fraud --remove tags.team")
    assert console("online-endpoint list --query [].name -o tsv") == "fraud\n"
    console("online-endpoint delete -n fraud", status=2)
    assert "There is no terminal to ask on: say --yes" in console.err
    assert console.desk.state.endpoints
    console("online-endpoint delete -n fraud --yes --no-wait")
    assert not console.desk.state.endpoints


def test_an_endpoint_needs_no_file(console: Console) -> None:
    console("online-endpoint create --name iris --auth-mode key --set description=text")
    assert console.desk.state.endpoints["iris"].key_digests
    console("online-endpoint create", status=2)


def test_keys(console: Console) -> None:
    console("online-endpoint create --name iris")
    before = json.loads(console("online-endpoint get-credentials -n iris"))
    console("online-endpoint regenerate-keys -n iris --key-type secondary")
    after = json.loads(console("online-endpoint get-credentials -n iris"))
    assert before["primaryKey"] == after["primaryKey"]
    assert before["secondaryKey"] != after["secondaryKey"]
