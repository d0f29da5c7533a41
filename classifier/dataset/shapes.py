"""A small drawn picture set to train on without downloading one: circles, squares, triangles and stars."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from classifier.errors import DataError

# Distances of the outline from the centre, at equal angles all around from the top; a square lies on its side.
SHAPES = {"circle": [1.0] * 90, "square": [0.5**0.5, 1.0] * 4, "triangle": [1.0] * 3, "star": [1.0, 0.42] * 5}
FINE = 4  # drawn at four times the size and reduced: smooth edges
LUMA = (0.299, 0.587, 0.114)
DARK = 110  # of 255; no ground is brighter, as a few hundred pictures cannot teach both light on dark and the reverse
CONTRAST = 70  # of 255; a shape is at least this much lighter than its ground
TILT = 15  # degrees to either side
STRAY = 0.12  # of the side; the greatest distance of a shape from the middle

Colour = np.ndarray  # float (3,), 0 to 255
Ink = int | tuple[int, ...]


def draw(folder: Path, per_class: int = 150, size: int = 96, seed: int = 0) -> None:
    """Write `per_class` JPEGs of `size` x `size` pixels into a folder per shape; the same seed draws the same.

    Raises DataError if `folder` cannot be created or is not empty.
    """
    make_empty(folder)
    for label, shape in enumerate(SHAPES):
        (folder / shape).mkdir()
        for number in range(1, per_class + 1):
            image = picture(shape, size, np.random.default_rng((seed, label, number)))
            image.save(folder / shape / f"{shape}-{number:03}.jpg", quality=90)


def make_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} cannot be created: {error.strerror}.") from error
    if not is_empty:
        raise DataError(f"{folder} is not empty; expected a new folder to draw into.")


def picture(shape: str, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw a light shape, tilted and near the middle, on a dark background that is not plain."""
    ground = rng.uniform(0, DARK, 3)
    image = background(ground, size, rng).resize((FINE * size, FINE * size), Image.Resampling.BICUBIC)
    add_clutter(image, ground, rng)
    add_shape(image, SHAPES[shape], ink(contrasting(ground, rng)), rng)
    small = image.reduce(FINE).filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.7)))
    return with_noise(small, rng.uniform(1, 6), rng)


def background(ground: Colour, size: int, rng: np.random.Generator) -> Image.Image:
    """Draw colours around `ground`: a gradient in any direction, or soft patches."""
    if rng.random() < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
        slope = (x * np.cos(angle) + y * np.sin(angle))[..., None]  # (size, size, 1)
        return to_image(ground + slope * rng.uniform(-18, 18, 3))
    patches = to_image(ground + rng.normal(0, 12, (rng.integers(4, 13), rng.integers(4, 13), 3)))
    return patches.resize((size, size), Image.Resampling.BICUBIC)


def add_clutter(image: Image.Image, ground: Colour, rng: np.random.Generator) -> None:
    """Draw thin lines, dots and small crumpled blobs, which a model has to learn to ignore."""
    canvas, side = ImageDraw.Draw(image), image.width
    for _ in range(rng.integers(1, 5)):
        canvas.line([*rng.uniform(0, side, 4)], near(ground, rng), int(rng.uniform(0.008, 0.02) * side))
    for _ in range(rng.integers(2, 9)):
        canvas.circle([*rng.uniform(0, side, 2)], rng.uniform(0.006, 0.018) * side, near(ground, rng))
    for _ in range(rng.integers(1, 4)):
        radii = rng.uniform(0.015, 0.06, 9) * side
        canvas.polygon(outline(radii, rng.uniform(0, side, 2), 0), near(ground, rng))


def add_shape(image: Image.Image, corners: list[float], colour: Ink, rng: np.random.Generator) -> None:
    """Draw a shape over 8% to 20% of a square image, inside the middle 7/8 that a model sees."""
    side = image.width
    radii = np.array(corners) * side * np.sqrt(rng.uniform(0.08, 0.2) / area(np.array(corners)))
    stray = min(STRAY * side, side * 7 / 16 - radii.max())
    centre = side / 2 + rng.uniform(-stray, stray, 2)
    rotation = np.deg2rad(rng.uniform(-TILT, TILT) - 90)
    ImageDraw.Draw(image).polygon(outline(radii, centre, rotation), colour)


def area(radii: np.ndarray) -> float:
    """Return a polygon's area from the distances of its corners to the centre, so that size does not reveal shape."""
    return float(np.sin(2 * np.pi / len(radii)) * (radii * np.roll(radii, 1)).sum() / 2)


def outline(radii: np.ndarray, centre: np.ndarray, rotation: float) -> list[tuple[float, float]]:
    angles = rotation + np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return [*zip(centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles), strict=True)]


def contrasting(ground: Colour, rng: np.random.Generator) -> Colour:
    """Return a colour that is clearly lighter than `ground`, for colour-blind people as well."""
    colours = rng.uniform(0, 255, (64, 3))
    contrast = (colours - ground) @ LUMA
    return np.asarray(colours[np.argmax(np.minimum(contrast, CONTRAST))])


def near(colour: Colour, rng: np.random.Generator) -> Ink:
    return ink(colour + rng.normal(0, 25, 3))


def ink(colour: Colour) -> Ink:
    return tuple(int(value) for value in np.clip(colour, 0, 255))


def with_noise(image: Image.Image, sigma: float, rng: np.random.Generator) -> Image.Image:
    return to_image(np.asarray(image) + rng.normal(0, sigma, (image.height, image.width, 1)))


def to_image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
