"""The tutorial's app: the model at import, `predict` in the view, Flask's own server."""

import os
import tempfile

import keras
import numpy as np
from common import LABELS, load_model
from flask import Flask, request

app = Flask(__name__)
model = load_model()


@app.post("/")
def predict():
    with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
        request.files["fileImage"].save(file.name)
        image = keras.utils.load_img(file.name, target_size=(224, 224))
    batch = keras.applications.vgg16.preprocess_input(np.expand_dims(keras.utils.img_to_array(image), 0))
    scores = model.predict(batch, verbose=0)[0]
    best = int(scores.argmax())
    return f"{LABELS[best]} ({scores[best] * 100:.2f}%)"


app.run("127.0.0.1", int(os.environ["PORT"]))
