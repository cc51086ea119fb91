"""traffic and scale."""

from tests.cli.console import Console


def test_traffic_is_told_old_to_new_and_how_to_undo_it(console: Console) -> None:
    console(f"apply {console.write('blue', 'green')}")
    out = console("traffic fraud blue=90 green=rest")
    assert out == "traffic of fraud: blue 100 → 90, green 0 → 10\n"
    assert "undo: trioroute traffic fraud blue=100" in console.err
    assert console("traffic fraud") == "blue=90 green=10\n"


def test_the_first_traffic_is_undone_by_what_is_told(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    console("online-endpoint update -n fraud --traffic blue=0")
    console("traffic fraud blue=100")
    undo = console.err.rpartition("undo: trioroute ")[2].strip()
    console(undo)
    assert not any(console.desk.state.endpoints["fraud"].traffic.values())


def test_mirrored_traffic_is_set_and_ended(console: Console) -> None:
    console(f"apply {console.write('blue', 'green')}")
    console("traffic fraud --mirror green=10")
    assert console.desk.state.endpoints["fraud"].mirror_traffic == {"green": 10}
    console("traffic fraud green=100", status=5)
    console("traffic fraud --mirror none")
    assert console.desk.state.endpoints["fraud"].mirror_traffic == {}


def test_shares_that_make_no_sense_are_refused(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    console("traffic fraud blue=50", status=5)
    assert "sum to 0 or 100" in console.err
    console("traffic fraud blue", status=2)
    console("traffic fraud red=100", status=5)


def test_scaling_changes_the_document_too(console: Console) -> None:
    (console.folder / "code").mkdir()
    text = 'instance_count: 1\nproperties: {trioroute.command: "serve {port}"}'
    console.write("blue")
    blue = console.folder / "blue.yml"
    old = 'instance_count: 1\nproperties: {trioroute.addresses: "127.0.0.1:9401"}'
    blue.write_text(blue.read_text().replace(old, text))
    console(f"apply {console.folder}")
    assert console("scale fraud/blue 3") == "instances of fraud/blue: 1 → 3\n"
    assert console.desk.state.deployments["fraud/blue"].scale.instance_count == 3
    assert "  instance_count: 3 → 1" in console(f"diff {console.folder}", status=1)
    console("scale fraud 3", status=2)
