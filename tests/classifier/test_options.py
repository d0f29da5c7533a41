"""Options and limits have their bounds, help texts and messages in one place."""

import pytest

from classifier.errors import StartupError
from classifier.options import Limits, ModelOptions, bounds, build, choices, expected, shown_default


@pytest.mark.parametrize(
    ("kind", "values", "sentence"),
    [
        (Limits, {"top": 0}, "CLASSIFIER_TOP must be a whole number from 1 to 1000, not 0."),
        (Limits, {"timeout_s": "soon"}, "CLASSIFIER_TIMEOUT_S must be a number from 0.1 to 3600, not 'soon'."),
        (ModelOptions, {"resize": "x\ny"}, "CLASSIFIER_RESIZE must be crop or stretch, not 'x\\ny'."),
        (Limits, {"max_wait": 1}, "CLASSIFIER_MAX_WAIT is no setting (did you mean max_waiting?)."),
    ],
)
def test_a_wrong_value_is_one_sentence(kind, values, sentence):
    with pytest.raises(StartupError) as caught:
        build(kind, values)
    assert str(caught.value) == sentence


def test_fields_know_their_bounds_choices_and_defaults():
    assert bounds(Limits.model_fields["max_batch"]) == (1, 1024)
    assert bounds(ModelOptions.model_fields["model"]) is None
    assert choices(ModelOptions.model_fields["resize"]) == ("crop", "stretch")
    assert choices(Limits.model_fields["max_batch"]) == choices(ModelOptions.model_fields["labels"]) == ()
    assert expected(ModelOptions.model_fields["weights"]) == "some text"
    assert shown_default(ModelOptions.model_fields["labels"]) == "unset"
    assert shown_default(Limits.model_fields["timeout_s"]) == "30"


@pytest.mark.parametrize("kind", [ModelOptions, Limits])
def test_every_field_has_a_help_text(kind):
    assert all(field.description for field in kind.model_fields.values())


def test_options_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        Limits().top = 3
