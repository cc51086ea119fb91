"""Mappings with known fields."""

import attrs

from trioroute.spec.fields.document import Node, parse
from trioroute.spec.fields.kinds import INVALID, TEXT, Whole
from trioroute.spec.fields.objects import Object, homes_of, setting, settings_of
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import Problem, Problems


@attrs.frozen(kw_only=True)
class Engine:
    power: int | None = setting(Whole(), "power in kW", default="50")
    name: str | None = setting(TEXT, "name of the engine")


@attrs.frozen(kw_only=True)
class Car:
    name: str = setting(TEXT, "name of the car", required=True)
    engine: Engine | None = setting(Object(Engine), "what drives it")  # noqa: RUF009
    wheels: int | None = setting(Whole(), "how many wheels")


def is_drivable(car: Car, node: Node, scope: Scope) -> bool:
    if car.wheels == 0:
        scope.error(node, "TR0108", "no wheels")
    return car.wheels != 0


CAR = Object(
    Car,
    dropped=frozenset({"id"}),
    spellings={"motor": "engine"},
    slips={"wheel": "wheels"},
    notes={"wings": "this is a car"},
    check=is_drivable,
)


def read(text: str) -> tuple[object, list[Problem], list[Problem]]:
    problems = Problems()
    scope = Scope("f.yml", problems, homes=homes_of(Car))
    return CAR.read(parse(text, "f.yml"), scope), problems.errors, problems.warnings


def test_absent_fields_are_none() -> None:
    assert read("name: a")[0] == Car(name="a", engine=None, wheels=None)


def test_a_nested_mapping_and_another_spelling() -> None:
    assert read("{name: a, motor: {power: 3}}")[0] == Car(name="a", engine=Engine(power=3))


def test_a_slip_is_taken_with_a_warning() -> None:
    car, errors, warnings = read("{name: a, wheel: 4}")
    assert (car, errors) == (Car(name="a", wheels=4), [])
    assert [warning.code for warning in warnings] == ["TR0112"]


def test_schema_and_returned_fields_are_dropped() -> None:
    assert read("{name: a, $schema: x, id: 5, engine: {$schema: y}}")[0] is not INVALID


def test_all_mistakes_are_found_with_hints() -> None:
    car, errors, _ = read("{wings: 2, weels: 4, power: 3, engine: {powr: 1}, wheels: null}")
    assert car is INVALID
    found = [(error.field, error.code, error.hint) for error in errors]
    assert found == [
        ("wings", "TR0101", "this is a car"),
        ("weels", "TR0101", "did you mean wheels?"),
        ("power", "TR0101", "it belongs below engine"),
        ("engine.powr", "TR0101", "did you mean power?"),
        ("wheels", "TR0103", "give a value or delete the line"),
        ("name", "TR0102", ""),
    ]


def test_something_else_than_a_mapping() -> None:
    assert [error.code for error in read("{name: a, engine: big}")[1]] == ["TR0104"]


def test_the_check_sees_a_whole_object() -> None:
    assert read("{name: a, wheels: 0}")[0] is INVALID
    assert [error.message for error in read("{name: a, wheels: 0}")[1]] == ["no wheels"]


def test_names_in_several_places_have_no_home() -> None:
    assert homes_of(Car) == {"engine": "", "wheels": "", "power": "engine"}


def test_the_schema_has_what_the_reader_knows() -> None:
    schema = CAR.schema()
    assert schema["required"] == ["name"]
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"$schema", "id", "motor", *settings_of(Car)}
    power = schema["properties"]["engine"]["properties"]["power"]
    assert power == {"type": "integer", "description": "power in kW Default: 50."}
