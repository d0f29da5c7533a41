"""The answers to the photos of a request: of a few at once, of many as they come."""

import time
from collections.abc import Callable, Iterator, Sequence

from classifier.contract import Answer, Engine
from classifier.errors import ClassifierError, Unavailable
from web.pages.sent import SentPhoto

AT_ONCE = 4  # photos of a zip file in the engine: a fraction of a batch, so that others' photos hardly wait for them
PAUSES_S = (1, 2, 4)  # before photos of a zip file are asked again that the engine had no room for

Answers = list[Answer | ClassifierError]


def answers_at_once(engine: Engine, photos: Sequence[SentPhoto]) -> Answers:
    """Return the answers to all photos, in order; the error of a photo takes its place."""
    return answers_to(engine, [content(photo) for photo in photos])


def answers_as_they_come(
    engine: Engine, photos: Sequence[SentPhoto], max_bytes: int, patience_s: float
) -> Iterator[tuple[SentPhoto, Answer | ClassifierError]]:
    """Yield each photo with its answer, while at most `AT_ONCE` photos, or `max_bytes` of them, are in memory."""
    for some in some_at_a_time(photos, max_bytes):
        yield from zip(some, patient_answers(engine, some, patience_s), strict=True)


def some_at_a_time(photos: Sequence[SentPhoto], max_bytes: int) -> Iterator[list[SentPhoto]]:
    """Split photos into groups of at most `AT_ONCE`, and `max_bytes` unless a single photo has more."""
    some: list[SentPhoto] = []
    for photo in photos:
        if some and (len(some) == AT_ONCE or sum(other.size for other in some) + photo.size > max_bytes):
            yield some
            some = []
        some.append(photo)
    yield some


def patient_answers(
    engine: Engine, photos: Sequence[SentPhoto], patience_s: float, pause: Callable[[float], None] = time.sleep
) -> Answers:
    """Return the answers to photos; ask again for those that there was no room for, for about `patience_s`."""
    until = time.monotonic() + patience_s
    contents = [content(photo) for photo in photos]
    answers = answers_to(engine, contents)
    for pause_s in PAUSES_S:
        if not any(isinstance(answer, Unavailable) for answer in answers) or time.monotonic() > until:
            break
        pause(pause_s)
        pairs = zip(contents, answers, strict=True)
        answers = answers_to(engine, [sent if isinstance(answer, Unavailable) else answer for sent, answer in pairs])
    return answers


def answers_to(engine: Engine, contents: Sequence[bytes | Answer | ClassifierError]) -> Answers:
    """Return the answers to photos, in order; anything else among them stays in its place."""
    answers = iter(engine.classify([content for content in contents if isinstance(content, bytes)]))
    return [next(answers) if isinstance(content, bytes) else content for content in contents]


def content(photo: SentPhoto) -> bytes | ClassifierError:
    try:
        return photo.read()
    except ClassifierError as error:
        return error
