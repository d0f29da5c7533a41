"""The broader terms of ImageNet's classes are words that people use, and each is true of all its classes."""

import json

import numpy as np
import pytest

from classifier.contract import Label
from classifier.models import labels
from classifier.terms import Broader
from web.pages.wording import surely

ABSTRACT = """
    abstraction, apparatus, appliance, article, artifact, chordate, commodity, container, conveyance, covering, craft,
    device, durables, entity, equipment, furnishing, implement, instrument, instrumentality, living thing, matter,
    mechanism, object, organism, part, placental, substance, structure, support, system, vertebrate, ware, whole
"""
DOCUMENT = json.loads(labels.IMAGENET.read_text())
CLASSES, BROADER, EVERYDAY = DOCUMENT["classes"], DOCUMENT["broader"], DOCUMENT["everyday"]
INDICES = {name: index for index, (_, name, _) in enumerate(CLASSES)}


@pytest.fixture(scope="module")
def terms():
    return labels.imagenet_terms(labels.imagenet())


def lies_below(wnid, parents):
    """Return whether a term is among these or above one of them; by recursion, unlike the code."""
    return wnid in parents or any(lies_below(wnid, BROADER[parent][1]) for parent in parents)


def test_no_term_is_abstract():
    """ "container" is the word for WordNet's vessel; its own container includes vehicles."""
    abstract = {word.strip() for word in ABSTRACT.split(",")}
    named_so = {wnid for wnid in EVERYDAY if BROADER[wnid][0] in abstract}
    assert named_so == set()
    assert set(EVERYDAY.values()) & (abstract - {"container"}) == set()


def test_each_covers_several_classes_and_all_of_them(terms):
    assert {term.wnid for term in terms.terms} == set(EVERYDAY)
    for term in terms.terms:
        assert term.classes == tuple(i for i, (_, _, above) in enumerate(CLASSES) if lies_below(term.wnid, above))
        assert 2 <= len(term.classes) < 400


def test_most_classes_have_one(terms):
    assert len({index for term in terms.terms for index in term.classes}) > 850


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Border_collie", "dog"),
        ("tabby", "cat"),
        ("lion", "big cat"),
        ("robin", "bird"),
        ("garter_snake", "snake"),
        ("goldfish", "fish"),
        ("bee", "insect"),
        ("barn_spider", "spider"),
        ("baboon", "monkey"),
        ("canoe", "boat"),
        ("convertible", "car"),
        ("sombrero", "hat"),
        ("violin", "musical instrument"),
        ("hammer", "tool"),
        ("banana", "fruit"),
        ("church", "place of worship"),
        ("barn", "building"),
        ("bookshop", "shop"),
        ("pop_bottle", "bottle"),
        ("cardoon", "vegetable"),
        ("web_site", None),
        ("spider_web", None),
    ],
)
def test_an_unsure_class_has_the_word_for_its_kind(terms, name, expected):
    """With half of the probability on the class and the rest on nothing in particular that is near."""
    scores = np.full(1000, 0.0, np.float32)
    scores[INDICES[name]] = 0.6
    found = terms.surest(scores)
    assert (found and found.label) == expected


def test_every_word_takes_an_article():
    for word in EVERYDAY.values():
        article = "an" if word[0] in "aeiou" else "a"
        assert surely(Broader("n1", word, 0.971)) == f"Surely {article} {word} (97%)"


def test_labels_in_another_order_keep_their_terms():
    subset = [Label("", "mine"), Label("n02106662", "German_shepherd"), Label("n02085620", "Chihuahua")]
    found = labels.imagenet_terms(subset)
    assert {term.label for term in found.terms} == {"animal", "mammal", "dog"}
    assert {term.classes for term in found.terms} == {(1, 2)}


def test_labels_without_ids_have_no_terms():
    assert not labels.imagenet_terms([Label("", "cat"), Label("n00000000", "dog")])
