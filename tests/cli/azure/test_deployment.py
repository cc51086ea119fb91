"""online-deployment, as in Azure's scripts."""

import json

from tests.cli.console import Console


def test_a_life_of_a_deployment(console: Console) -> None:
    console.write("blue", traffic="{}")
    console("online-endpoint create -n fraud")
    file = console.folder / "blue.yml"
    made = json.loads(
        console(f"online-deployment create -f {file} --name green --endpoint fraud --all-traffic")
    )
    assert (made["name"], made["endpoint_name"]) == ("green", "fraud")
    assert console.desk.state.endpoints["fraud"].traffic == {"green": 100}
    console(f"online-deployment create -f {file} -n green", status=5)
    console(f"online-deployment create -f {file} --all-traffic --no-wait", status=2)
    setting = "request_settings.max_queue_wait_ms=250"
    console(f"online-deployment update -e fraud -n green --set {setting}")
    assert console.desk.state.deployments["fraud/green"].queue_wait_max_s == 0.25
    console(f"online-deployment update -e fraud -n green --file {file}")
    assert console.desk.state.deployments["fraud/green"].queue_wait_max_s == 0.25
    names = console("online-deployment list --endpoint-name fraud --query [].name -o tsv")
    assert names == "green\n"
    console("online-deployment get-logs --endpoint-name fraud --name green --lines 100")
    console("online-deployment delete -e fraud -n green --yes", status=5)


def test_wrong_values_of_set_say_where(console: Console) -> None:
    console.write("blue", traffic="{}")
    console("online-endpoint create -n fraud")
    console(f"online-deployment create -f {console.folder}/blue.yml")
    console("online-deployment update -e fraud -n blue --set instance_cuont=2", status=2)
    assert "instance_count" in console.err
