"""Candidates on a Ray cluster of this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import graphc
from graphc import ops
from graphc.tuning.cluster import LOCAL, ClusterRunner
from graphc.tuning.machine import device_name
from graphc.tuning.pipelines import PipelineSpace, pipeline_space, relevant
from graphc.tuning.runner import Job
from graphc.tuning.search import Search
from graphc.tuning.strategies import make_strategy
from graphc.tuning.trial import RejectedError

TARGET = "xla:cpu"


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:  # machines that test are busy
        patch.setenv("RAY_raylet_start_wait_time_s", "240")
        yield
        ray.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_tunes(cluster: None) -> None:
    graph = graphc.trace(lambda x: ops.max_pool(x, 2), graphc.TensorSpec((1, 8, 8, 3)))
    found: PipelineSpace = relevant(pipeline_space(TARGET), graph)
    job = Job("pipeline", {1: graph}, TARGET)
    device = device_name(TARGET)
    with ClusterRunner(LOCAL, job, device, found.program_of, 120) as runner:
        strategy = make_strategy("exhaustive", found.space)
        outcome = Search(found.space, runner, strategy).run()
        assert outcome.trials == found.space.size
        assert outcome.median > 0
        wrong = ["wrong", *found.space.canonical[1:]]
        runner._describe = lambda choice: {
            **found.program_of(found.space.canonical),
            "pipeline": "inline",
        }
        with pytest.raises(RejectedError) as caught:
            runner.prepare(tuple(wrong))
        assert caught.value.status == "unsupported"
