"""LitServe with dynamic batching, as its guide advises."""

import os

import litserve
from common import load_model, predict
from PIL import Image


class Classifier(litserve.LitAPI):
    def setup(self, device):
        self.model = load_model()

    def decode_request(self, request):
        return Image.open(request["fileImage"].file)

    def batch(self, inputs):
        return inputs

    def predict(self, images):
        return predict(self.model, images)

    def unbatch(self, output):
        return output

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    api = Classifier(max_batch_size=16, batch_timeout=0.01)
    litserve.LitServer(api, accelerator="cpu", timeout=120).run(
        host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="error"
    )
