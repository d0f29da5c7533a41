"""The head is scikit-learn's logistic regression, chosen and judged by photos that it was not fitted to."""

import numpy as np
import pytest

from classifier.errors import DataError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", autouse=True)
def tensorflow():
    """Import here what is slow to import, so that collecting the tests does not."""
    global keras, head, softmax, LogisticRegression, make_pipeline, FunctionTransformer, StandardScaler
    import keras
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    from classifier.training import head
    from classifier.training.calibration import softmax


def clusters(classes, count=20, channels=6, spread=1.0, seed=0):
    """Features of clusters of points, with a few outliers, and their classes."""
    random = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), count)
    features = random.normal(size=(classes, channels))[labels] + spread * random.standard_t(2, (len(labels), channels))
    return (features * 10 + 3).astype(np.float32), labels


def answers(fitted, features):
    inputs = keras.Input(features.shape[1:])
    return softmax(np.asarray(keras.Model(inputs, fitted(inputs))(features)))


def reference(strength, features, labels, members, **arguments):
    """Return the probabilities by scikit-learn alone."""
    compress = make_pipeline(StandardScaler(), FunctionTransformer(np.arcsinh)).fit(features.astype(float))
    values = compress.transform(features.astype(float))
    regression = LogisticRegression(C=strength, tol=1e-6, max_iter=5000, **arguments).fit(
        values[members], labels[members]
    )
    return regression.predict_proba(values)


@pytest.mark.parametrize("weights", [None, {0: 3.0, 1: 0.5}])
@pytest.mark.parametrize("kept", [40, 25])
def test_two_classes_are_those_of_scikit_learn(weights, kept):
    compared(*clusters(2), np.random.default_rng(1).permutation(40)[:kept], weights)


@pytest.mark.parametrize("kept", [80, 50])
def test_more_classes_are_those_of_scikit_learn(kept):
    compared(*clusters(4), np.random.default_rng(1).permutation(80)[:kept], None)


def compared(features, labels, members, weights):
    """Assert that the head is scikit-learn's, fitted to the members, for one of the strengths."""
    found = answers(head.fit_head(features, labels, members, weights, 0), features)
    expected = [reference(strength, features, labels, members, class_weight=weights) for strength in head.STRENGTHS]
    assert min(np.abs(found - some).max() for some in expected) < 0.02
    assert np.abs(expected[0] - expected[-1]).max() > 0.1  # or any head would do


def test_held_out_answers_know_nothing_of_their_photo():
    """Labels without a pattern can be learned by heart, but not predicted."""
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(90, 200)).astype(np.float32), np.repeat([0, 1, 2], 30)
    known = head.Observations(np.arcsinh(features), labels)
    for trial in head.cross_validated(known, None, 0):
        assert (trial.logits.argmax(axis=1) == labels).mean() < 0.5
    by_heart = answers(head.fit_head(features, labels, np.arange(90), None, 0), features).argmax(axis=1)
    assert (by_heart == labels).mean() > 0.9


def test_the_search_ends_where_the_loss_rises():
    trials = iter([head.Trial(strength, np.zeros(1), loss) for strength, loss in ((1, 3), (2, 1), (3, 2), (4, 0))])
    assert head.first_minimum(trials).strength == 2
    assert next(trials).strength == 4  # was not tried


def test_two_photos_of_a_class_are_enough():
    features, labels = clusters(3)
    few = np.r_[0:20, 20:22, 40:60]
    fitted = head.fit_head(features[few], labels[few], np.arange(len(few)), None, 0)
    assert np.isfinite(fitted.held_out).all()
    assert answers(fitted, features).shape == (60, 3)


def test_a_channel_that_never_varies_does_no_harm():
    features, labels = clusters(3)
    features[:, 2] = 0
    fitted = head.fit_head(features, labels, np.arange(60), None, 0)
    before = answers(fitted, features)
    features[:, 2] = 0.01
    np.testing.assert_allclose(answers(fitted, features), before, atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_one_sentence(value):
    features, labels = clusters(2)
    features[3, 1] = value
    with pytest.raises(DataError, match=r"^The backbone's features are not all numbers; .*--weights\.$"):
        head.fit_head(features, labels, np.arange(40), None, 0)
