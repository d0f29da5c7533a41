"""A temperature makes probabilities match the share of right answers, and changes no answer."""

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    global keras, calibration, metrics
    import keras

    from classifier.evaluation import metrics
    from classifier.training import calibration


def drawn(count, classes=4, seed=0):
    """Logits, and labels that are drawn with exactly their probabilities."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)) * 2
    labels = np.array([random.choice(classes, p=row) for row in calibration.softmax(logits)])
    return logits, labels


@pytest.mark.parametrize("factor", [0.3, 1, 4])
def test_the_temperature_undoes_a_factor(factor):
    logits, labels = drawn(4000)
    assert calibration.temperature(logits * factor, labels) == pytest.approx(factor, rel=0.1)


def test_calibrated_probabilities_are_right_as_often_as_they_say():
    logits, labels = drawn(4000)

    def error(logits):
        scores = calibration.softmax(logits)
        return metrics.calibration(scores.max(axis=1), scores.argmax(axis=1) == labels)["error"]

    assert error(logits * 4) > 0.1
    assert error(logits * 4 / calibration.temperature(logits * 4, labels)) < 0.03


def test_a_few_right_answers_make_no_certainty():
    """After three of three right answers, the next is right four times of five (rule of succession)."""
    labels = np.array([0, 1, 2])
    logits = 100.0 * np.eye(3)
    logits[1] /= 100
    scores = calibration.softmax(logits[1:2] / calibration.temperature(logits, labels))
    assert scores.max() < 0.9
    logits = 5.0 * np.eye(3)
    scores = calibration.softmax(logits / calibration.temperature(logits, labels))
    assert scores.max(axis=1) == pytest.approx(0.8 + 0.2 / 3, abs=0.02)


def test_extreme_logits_have_a_temperature():
    assert np.isfinite(calibration.temperature(np.array([[1e30, 0.0], [0.0, 1e30]]), np.array([1, 0])))


def test_a_scaled_network_divides_its_logits():
    inputs = keras.Input((3,))
    network = calibration.scaled(keras.Model(inputs, keras.layers.Dense(2)(inputs)), 4.0)
    values = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    kernel, bias = network.get_weights()
    np.testing.assert_allclose(network(values), (values @ kernel + bias) / 4, atol=1e-6)
