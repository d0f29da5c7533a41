"""BentoML with adaptive batching, as its guide advises: `bentoml serve bentoml_app:Classifier`."""

import bentoml
from common import load_model, predict
from PIL.Image import Image


@bentoml.service(traffic={"timeout": 120})
class Classifier:
    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api(batchable=True, max_batch_size=16, max_latency_ms=60_000)
    def predict(self, images: list[Image]) -> list[dict[str, float]]:
        return predict(self.model, images)
