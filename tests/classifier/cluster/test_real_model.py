"""A real model on a replica."""

from functools import partial

import pytest
from support.needs import SHARED, needs_shared
from support.ray_cluster import needs_ray, rays_warnings, started_cluster

from classifier.cluster.remote_engine import RemoteEngine
from classifier.options import ModelOptions

pytestmark = [rays_warnings, pytest.mark.tensorflow, pytest.mark.ray]


@needs_ray
@needs_shared
def test_a_real_model_answers_as_it_does_here():
    from classifier.cluster.ray_serve import ServeReplicas, serve
    from classifier.models import load
    from classifier.serving.engine import LocalEngine

    started_cluster()
    weights = str(SHARED / "mobilenet_v2.weights.h5")
    loads = partial(load, ModelOptions(model="mobilenet_v2", weights=weights))
    photos = [path.read_bytes() for path in sorted((SHARED / "photos").iterdir())[:8]]
    here, there = LocalEngine(loads()), RemoteEngine(ServeReplicas(loads, replicas=(1, 1), name="real"))
    try:
        for expected, answer in zip(here.classify(photos), there.classify(photos), strict=True):
            assert [p.index for p in answer.predictions] == [p.index for p in expected.predictions]
            scores = [prediction.score for prediction in expected.predictions]
            assert [prediction.score for prediction in answer.predictions] == pytest.approx(scores, abs=1e-5)
            assert answer.preview == expected.preview
        assert there.explain(lambda: photos[0], 0).heat.shape == (7, 7)
    finally:
        here.close()
        serve.delete("real")
