"""Every fault of a cluster, once, to pods that really run."""

import pytest

from chaos.__main__ import run_scenario
from chaos.judging.report import shown
from chaos.pods.world import PodsWorld
from chaos.scenarios import pods
from tests.k8s.rendered import needs_kustomize


@needs_kustomize
@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
def test_pods_that_go_and_an_api_server_that_fails_break_no_promise() -> None:
    judgement = run_scenario(pods.SCENARIO, PodsWorld(say=print), seed=1)
    report = shown(judgement, replay="python -m chaos pods --world pods --seed 1")
    print(report)
    assert not judgement.violations, report
    if judgement.invalid:
        pytest.skip(f"proves nothing here: {'; '.join(judgement.invalid)}")
