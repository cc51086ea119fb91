"""The resource operations fit their handlers."""

from trioroute.admin.resources.answering import ResourceHandlers
from trioroute.admin.resources.operations import RESOURCE_OPERATIONS


def test_each_operation_has_its_handler_and_each_handler_its_operation() -> None:
    handlers = {name for name in vars(ResourceHandlers) if not name.startswith("_")}
    assert handlers == {one.name for one in RESOURCE_OPERATIONS}


def test_what_deletes_or_replaces_can_insist_on_a_version() -> None:
    for one in RESOURCE_OPERATIONS:
        assert one.is_conditional == (one.method in ("PUT", "DELETE", "PATCH"))
