"""Gradio's image classifier, batched as its guide to batch functions advises."""

import os

import gradio
from common import load_model, predict

model = load_model()


def classify(images):
    return [predict(model, images)]


gradio.Interface(
    classify,
    gradio.Image(type="pil"),
    gradio.Label(num_top_classes=5),
    batch=True,
    max_batch_size=16,
    api_name="predict",
).queue(max_size=None).launch(server_name="127.0.0.1", server_port=int(os.environ["PORT"]), quiet=True)
