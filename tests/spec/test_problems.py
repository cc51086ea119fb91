"""Problems as text, and the guess at what was meant."""

import pytest

from trioroute.errors import ConfigError
from trioroute.spec.problems import CODES, Problem, Problems, SpecError, nearest


def test_a_problem_begins_with_its_place() -> None:
    problem = Problem(file="a.yml", line=3, column=5, field="x.y", code="TR0101", message="no")
    assert str(problem) == "a.yml:3:5: TR0101 x.y: no"
    assert str(Problem(file="a.yml", code="TR0001", message="no")) == "a.yml: TR0001 no"


def test_nothing_is_raised_without_an_error() -> None:
    problems = Problems()
    problems.warnings.append(Problem(file="a.yml", code="TR0007", message="twice"))
    problems.raise_if_any()


def test_all_problems_are_raised_together() -> None:
    problems = Problems()
    problems.errors += [Problem(file=name, code="TR0001", message="no") for name in ("a", "b")]
    with pytest.raises(SpecError) as caught:
        problems.raise_if_any()
    assert isinstance(caught.value, ConfigError)
    assert str(caught.value) == "a: TR0001 no\nb: TR0001 no"


def test_the_nearest_name() -> None:
    names = ["max_instances", "min_instances", "polling_interval"]
    assert nearest("max_instancs", names) == "max_instances"
    assert nearest("MAX_INSTANCES", names) == "max_instances"
    assert nearest("colour", names) is None
    assert nearest("x", []) is None


def test_codes_have_one_form() -> None:
    assert all(code.startswith("TR") and len(code) == 6 for code in CODES)
