"""Any bytes: the codecs agree with one another, with bare h11, and with themselves in pieces."""

import hypothesis
from hypothesis import strategies as st

from tests.conformance.agreement import check_requests, check_responses
from tests.conformance.strategies import damaged, requests, responses

#: Enough to find every disagreement that was planted; `tests/fuzz` goes on for hours.
_SETTINGS = hypothesis.settings(
    max_examples=400, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)


@_SETTINGS
@hypothesis.given(damaged(requests()), st.integers(0, 200))
def test_codecs_agree_about_requests(data: bytes, cut_at: int) -> None:
    check_requests(data, cut_at)


@_SETTINGS
@hypothesis.given(
    damaged(responses()),
    st.integers(0, 200),
    st.sampled_from([b"GET", b"HEAD", b"POST"]),
    st.booleans(),
)
def test_codecs_agree_about_responses(
    data: bytes, cut_at: int, method: bytes, closed: bool
) -> None:
    check_responses(data, cut_at, method, closed=closed)


def test_the_generators_reach_both_sides() -> None:
    """Messages must be accepted as well as refused, or the tests above show nothing."""
    verdicts = set()

    @_SETTINGS
    @hypothesis.given(damaged(requests()), damaged(responses()))
    def collect(request: bytes, response: bytes) -> None:
        verdicts.add(("request", check_requests(request, 1).refused is None))
        verdicts.add(("response", check_responses(response, 1, b"GET", closed=True).broken))

    collect()
    assert verdicts == {(kind, side) for kind in ("request", "response") for side in (True, False)}
