"""Images for schemathesis, which cannot generate them. It loads this file; see `test_clients.py`."""

import base64

import schemathesis
from hypothesis import strategies
from support.models import COLOURS
from support.pictures import picture

PICTURES = strategies.sampled_from([picture(colour) for colour in COLOURS])

schemathesis.openapi.media_type("image/*", PICTURES)
schemathesis.openapi.media_type("image/png", PICTURES)
schemathesis.openapi.format("binary", PICTURES)
schemathesis.openapi.format("byte", PICTURES.map(lambda image: base64.b64encode(image).decode()))
