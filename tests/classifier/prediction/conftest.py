"""The engine that the tests of prediction share."""

import pytest
from support.models import ToyModel

from classifier.options import Limits
from classifier.serving.engine import LocalEngine


@pytest.fixture
def engine():
    engine = LocalEngine(ToyModel(), Limits(top=2))
    yield engine
    engine.close()
