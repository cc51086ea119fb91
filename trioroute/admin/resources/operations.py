"""The resource operations of the admin API as a table."""

from typing import Final

from trioroute.admin import problems
from trioroute.admin.openapi import Answer, Operation
from trioroute.admin.roles import Access
from trioroute.core.decisions import DecisionList
from trioroute.wire.resources import (
    Credentials,
    LogList,
    Resources,
    ScoringToken,
    TrafficChange,
    Written,
)

__all__ = ["CHANGING", "RESOURCE_OPERATIONS"]

_JSON: Final = "application/json"

#: How every change can end.
CHANGING: Final = (
    *(problems.REFUSED, problems.NO_COORDINATOR, problems.OUTCOME_UNKNOWN, problems.INTERNAL),
)
_OF_ONE: Final = (problems.NOT_FOUND, problems.CONFLICT, *CHANGING)
_WITH_BODY: Final = (
    *(problems.MALFORMED, problems.TOO_LARGE, problems.TOO_SLOW, problems.WRONG_MEDIA_TYPE),
    *_OF_ONE,
)
_WRITTEN: Final = Answer(status=200, meaning="It is in the log.", body=Written, media_type=_JSON)
_ENDPOINT: Final = "/v1/endpoints/{endpoint}"
_DEPLOYMENT: Final = "/v1/endpoints/{endpoint}/deployments/{deployment}"

#: `name` is the handler's name in `answering`.
RESOURCE_OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/v1/decisions",
        name="get_decisions",
        access=Access.SCRAPE,
        summary="What was decided lately and why, and who changed what.",
        answers=(Answer(status=200, meaning="Now.", body=DecisionList, media_type=_JSON),),
    ),
    Operation(
        method="POST",
        path="/v1/drills",
        name="post_drill",
        access=Access.OPERATE,
        summary="Announce that a drill begins or ends, so that whoever watches events knows.",
        answers=(_WRITTEN,),
        takes="DrillWish",
        problems=(
            *(problems.MALFORMED, problems.TOO_LARGE, problems.TOO_SLOW),
            *(problems.WRONG_MEDIA_TYPE, *CHANGING),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/registry",
        name="get_registry",
        access=Access.READ,
        summary="All that is registered, with versions and what its users wrote; no keys.",
        answers=(Answer(status=200, meaning="Now.", body=Resources, media_type=_JSON),),
    ),
    Operation(
        method="PUT",
        path=_ENDPOINT,
        name="put_endpoint",
        access=Access.ADMIN,
        summary="Make or change an endpoint; keys are made when it needs them and has none.",
        answers=(_WRITTEN,),
        takes="EndpointWish",
        is_conditional=True,
        problems=_WITH_BODY,
    ),
    Operation(
        method="DELETE",
        path=_ENDPOINT,
        name="delete_endpoint",
        access=Access.ADMIN,
        summary="Delete an endpoint and its deployments; not while one of them gets live traffic.",
        answers=(_WRITTEN,),
        is_conditional=True,
        flags=(("with_traffic", "Also while a deployment gets live traffic."),),
        problems=(problems.MALFORMED, *_OF_ONE),
    ),
    Operation(
        method="PATCH",
        path="/v1/endpoints/{endpoint}/traffic",
        name="patch_traffic",
        access=Access.OPERATE,
        summary="Change how an endpoint's requests are shared out.",
        answers=(
            Answer(status=200, meaning="It is in the log.", body=TrafficChange, media_type=_JSON),
        ),
        takes="TrafficWish",
        is_conditional=True,
        problems=_WITH_BODY,
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{endpoint}/credentials",
        name="post_credentials",
        access=Access.ADMIN,
        summary="An endpoint's keys, for whoever may make changes.",
        answers=(Answer(status=200, meaning="Now.", body=Credentials, media_type=_JSON),),
        problems=_OF_ONE,
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{endpoint}/credentials/regenerate",
        name="post_regenerate",
        access=Access.ADMIN,
        summary="Replace one of an endpoint's keys; answers when every front-end takes the new.",
        answers=(Answer(status=200, meaning="The keys.", body=Credentials, media_type=_JSON),),
        takes="KeyWish",
        problems=_WITH_BODY,
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{endpoint}/token",
        name="post_token",
        access=Access.OPERATE,
        summary="A signed token that opens an aml_token endpoint for some time.",
        answers=(Answer(status=200, meaning="It.", body=ScoringToken, media_type=_JSON),),
        takes="TokenWish",
        problems=_WITH_BODY,
    ),
    Operation(
        method="POST",
        path="/v1/endpoints/{endpoint}/token/revoke",
        name="post_revoke",
        access=Access.ADMIN,
        summary="Forget the keys that tokens were signed with: none issued so far opens any more.",
        answers=(_WRITTEN,),
        problems=_OF_ONE,
    ),
    Operation(
        method="PUT",
        path=_DEPLOYMENT,
        name="put_deployment",
        access=Access.OPERATE,
        summary="Make or change a deployment.",
        answers=(_WRITTEN,),
        takes="DeploymentWish",
        is_conditional=True,
        problems=_WITH_BODY,
    ),
    Operation(
        method="DELETE",
        path=_DEPLOYMENT,
        name="delete_deployment",
        access=Access.OPERATE,
        summary="Delete a deployment that gets no traffic.",
        answers=(_WRITTEN,),
        is_conditional=True,
        problems=(problems.MALFORMED, *_OF_ONE),
    ),
    Operation(
        method="GET",
        path=_DEPLOYMENT + "/logs",
        name="get_logs",
        access=Access.READ,
        summary="The end of what a deployment's replicas printed, where they are local.",
        answers=(Answer(status=200, meaning="Now.", body=LogList, media_type=_JSON),),
        problems=(problems.NOT_FOUND,),
    ),
)
