"""A folder is described before it is used for training, and it is not changed."""

import hashlib
import io
from contextlib import nullcontext
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from support.needs import SHARED, needs_shared
from support.pictures import encoded, picture

from classifier.dataset import hashes as hashing
from classifier.dataset.check import as_text, inspect, problems, warnings
from classifier.dataset.contact_sheet import GAP, MAX_CLASSES, ROW, SIDE, TITLE, contact_sheet
from classifier.dataset.duplicates import without_duplicates
from classifier.dataset.layout import Photo, find
from classifier.dataset.options import SEED, TEST, VALIDATION
from classifier.dataset.reading import read
from classifier.dataset.split import split
from classifier.errors import DataError


def scene(seed, size=(200, 160)):
    """Return a detailed picture, unlike that of any other seed."""
    coarse = np.random.default_rng(seed).integers(0, 240, (10, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def fill(folder, first, count=12):
    folder.mkdir(parents=True)
    for seed in range(first, first + count):
        (folder / f"{seed}.jpg").write_bytes(encoded(scene(seed), "JPEG"))
    return folder


@pytest.fixture
def folder(tmp_path):
    """Two classes of twelve photos without any problem."""
    fill(tmp_path / "data" / "cats", 100)
    fill(tmp_path / "data" / "dogs", 200)
    return tmp_path / "data"


@pytest.fixture
def divided(tmp_path):
    for start, part in enumerate(["train", "val", "test"]):
        fill(tmp_path / "data" / part / "cats", 1000 * start + 100)
        fill(tmp_path / "data" / part / "dogs", 1000 * start + 200)
    return tmp_path / "data"


def names(group):
    return {photo.path.name for photo in group}


def the_sentence(folder, words):
    (found,) = [text for text in warnings(inspect(folder)) if words in text]
    return found


def test_a_good_folder_gives_no_cause_for_complaint(folder):
    found = inspect(folder)
    assert (len(found.readable), len(found.usable.photos)) == (24, 24)
    assert problems(found) == warnings(found) == []
    assert "No problems found." in as_text(found)


def test_one_class_is_not_enough(tmp_path):
    fill(tmp_path / "cats", 0, 3)
    with pytest.raises(DataError, match="at least two"):
        inspect(tmp_path)


def test_what_cannot_be_read_is_told_with_the_reason(folder):
    (folder / "cats" / "empty.jpg").touch()
    (folder / "cats" / "text.txt").write_text("not a photo")
    (folder / "dogs" / "broken.jpg").write_bytes(encoded(scene(1), "JPEG")[:2000])
    (folder / "dogs" / "gone.jpg").symlink_to("nowhere.jpg")
    found = inspect(folder)
    assert names(look.photo for look in found.unreadable) == {"empty.jpg", "text.txt", "broken.jpg", "gone.jpg"}
    text = the_sentence(folder, "cannot be read: 4 files")
    assert "cats/empty.jpg: This file is empty" in text
    assert "cats/text.txt: This file is not an image" in text
    assert "dogs/broken.jpg: This image is damaged" in text
    assert "dogs/gone.jpg: This is a link that leads nowhere." in text
    assert len(found.readable) == 24


@pytest.mark.parametrize(
    ("name", "format", "told"),
    [
        ("a.jpg", "WEBP", True),
        ("a.JPG", "PNG", True),
        ("a.png", "JPEG", True),
        ("a", "PNG", True),
        ("a.xyz", "GIF", True),
        ("a.JPEG", "JPEG", False),
        ("a.jfif", "JPEG", False),
        ("a.tif", "TIFF", False),
        ("a.avif", "AVIF", False),
    ],
)
def test_a_name_that_promises_another_format_is_told_but_used(folder, name, format, told):
    (folder / "cats" / name).write_bytes(encoded(scene(1), format))
    found = inspect(folder)
    assert len(found.usable.photos) == 25
    assert any(f"cats/{name}: {format}" in text for text in warnings(found)) == told


@pytest.mark.parametrize("name", ["a.jpg", "a.mpo"])
def test_a_jpeg_of_several_pictures_is_a_jpeg(folder, name):
    data = encoded(scene(1), "MPO", save_all=True, append_images=[scene(2)])
    (folder / "cats" / name).write_bytes(data)
    found = inspect(folder)
    assert {look.format for look in found.readable} == {"JPEG"}
    assert warnings(found) == []


def test_a_copy_in_the_same_class_is_found_and_used_once(folder):
    (folder / "cats" / "copy.jpg").write_bytes((folder / "cats" / "100.jpg").read_bytes())
    found = inspect(folder)
    assert [names(group) for group in found.same] == [{"100.jpg", "copy.jpg"}]
    assert (found.similar, len(found.usable.photos)) == ([], 24)
    assert "cats/100.jpg = cats/copy.jpg" in the_sentence(folder, "more than once in a class: 1 photo.")


def test_a_copy_in_another_class_is_found_and_not_used(folder):
    (folder / "dogs" / "copy.jpg").write_bytes((folder / "cats" / "100.jpg").read_bytes())
    assert len(inspect(folder).usable.photos) == 23
    assert "cats/100.jpg = dogs/copy.jpg" in the_sentence(folder, "The same file, which training uses at most once")
    assert "two or more classes, " in the_sentence(folder, "The same file")


def test_a_copy_in_another_part_is_found(divided):
    (divided / "test" / "cats" / "copy.jpg").write_bytes((divided / "train" / "cats" / "100.jpg").read_bytes())
    text = the_sentence(divided, "in two or more parts, so that the test is easier than it should be: 1 photo.")
    assert "test/cats/copy.jpg = train/cats/100.jpg" in text
    kept = {str(photo.path.relative_to(divided)) for photo in inspect(divided).usable.photos}
    assert kept & {"train/cats/100.jpg", "test/cats/copy.jpg"} == {"test/cats/copy.jpg"}


def test_a_copy_in_another_class_and_part_is_told_as_both(divided):
    (divided / "test" / "dogs" / "copy.jpg").write_bytes((divided / "train" / "cats" / "100.jpg").read_bytes())
    assert the_sentence(divided, "in two or more classes and parts")


def resaved(image):
    return encoded(image, "JPEG", quality=60)


def scaled(image):
    return encoded(image.resize([round(side * 0.7) for side in image.size], Image.Resampling.LANCZOS), "JPEG")


def brightened(image):
    return encoded(image.point(lambda value: value + 10), "JPEG")


def as_webp(image):
    return encoded(image, "WEBP")


COPIES = [resaved, scaled, brightened, as_webp]


@pytest.mark.parametrize("copy", COPIES)
def test_an_altered_copy_is_found(folder, copy):
    for seed in range(100, 112):
        (folder / "dogs" / f"{seed}-copy").write_bytes(copy(scene(seed)))
    found = inspect(folder)
    assert found.same == []
    expected = {frozenset({f"{seed}.jpg", f"{seed}-copy"}) for seed in range(100, 112)}
    assert {frozenset(names(group)) for group in found.similar} == expected
    assert the_sentence(folder, "Nearly the same photo is in two or more classes, where only one can be right: 12")


def test_training_finds_the_near_copies_that_check_finds_at_any_size(folder):
    """At another scale, some neighbours fall on the other side of the least difference."""
    random = np.random.default_rng(5)
    for number in range(6):
        pale = Image.fromarray(random.integers(100, 140, (37, 53, 3), np.uint8)).resize((900, 600))
        (folder / "cats" / f"pale-{number}.jpg").write_bytes(encoded(pale, "JPEG", quality=90))
    hashes = [read(folder, size, resize).hashes for size, resize in (((96, 96), "crop"), ((260, 260), "stretch"))]
    assert hashes[0].tolist() == hashes[1].tolist() == inspect(folder).usable.hashes.tolist()


@needs_shared
@pytest.mark.parametrize("copy", COPIES)
def test_an_altered_copy_of_a_real_photo_is_found_and_no_other(copy):
    photos = [photo for label in range(5) for photo in find(SHARED / "flowers").photos if photo.label == label][::5]
    originals = [Image.open(photo.path).convert("RGB") for photo in photos]
    looks = [*originals, *(Image.open(io.BytesIO(copy(image))).convert("RGB") for image in originals)]
    hashes = np.frombuffer(b"".join(map(hashing.difference_hash, looks)), np.uint64).reshape(-1, 4)
    groups = hashing.linked(hashes)
    assert len(set(groups[: len(photos)])) == len(photos)
    assert (groups[: len(photos)] == groups[len(photos) :]).mean() > 0.98


def test_flat_pictures_are_not_near_each_other(folder):
    noise = np.random.default_rng(0)
    for i, colour in enumerate(["white", "black", "red", "navy"]):
        flat = np.asarray(Image.new("RGB", (200, 160), colour)).astype(int) + noise.integers(-1, 2, (160, 200, 1))
        (folder / "cats" / f"flat-{i}.jpg").write_bytes(picture(colour, format="JPEG"))
        (folder / "dogs" / f"nearly-{i}.png").write_bytes(encoded(Image.fromarray(flat.clip(0, 255).astype(np.uint8))))
    assert inspect(folder).similar == []


def test_gradients_are_not_near_each_other(folder):
    x = np.linspace(0, 1, 200)[None, :, None] * np.ones((160, 1, 3))
    for i, (start, end) in enumerate([(0, 255), (200, 40), (30, 140), (250, 100)]):
        ramp = Image.fromarray((start + x * (end - start)).astype(np.uint8))
        (folder / "cats" / f"ramp-{i}.png").write_bytes(encoded(ramp))
    assert inspect(folder).similar == []


def near_by_hand(hashes):
    """The oracle: pairs of bit lists, compared one by one."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1)
    limits = [max(0, min(row.sum(), 256 - row.sum()) - 24) // 4 for row in bits.astype(int)]
    pairs = combinations(range(len(bits)), 2)
    return {(i, j) for i, j in pairs if (bits[i] != bits[j]).sum() < min(limits[i], limits[j])}


def test_linked_hashes_are_those_that_are_near_pair_by_pair():
    rng = np.random.default_rng(0)
    bits = rng.random((60, 256)) < rng.uniform(0, 1, (60, 1))
    flips = rng.random((40, 256)) < rng.uniform(0, 0.1, (40, 1))
    bits = np.concatenate([bits, bits[:40] ^ flips, ~bits[:5]])
    hashes = np.packbits(bits, axis=1).view(np.uint64)
    groups, pairs = hashing.linked(hashes), near_by_hand(hashes)
    linked = {(i, j) for i, j in combinations(range(len(bits)), 2) if groups[i] == groups[j]}
    assert 10 < len(pairs) < 40
    assert linked == pairs  # each has one near copy at most, so nothing is linked by way of others


def test_what_is_near_by_way_of_another_is_linked_across_chunks():
    rng = np.random.default_rng(0)
    chain = [rng.random(256) < 0.5]
    for step in range(40):
        chain.append(chain[-1] ^ (np.arange(256) // 6 == step))
    others = [rng.random(256) < 0.5 for _ in range(30)]
    order = rng.permutation(71)
    hashes = np.packbits(np.array([*chain, *others])[order], axis=1).view(np.uint64)
    groups = hashing.linked(hashes)[np.argsort(order)]
    assert len(set(groups[:41])) == 1
    assert len(set(groups)) == 31


def test_hashes_that_differ_in_every_bit_are_not_near():
    bits = np.random.default_rng(0).random((1, 256)) < 0.5
    assert len(set(hashing.linked(np.packbits(np.concatenate([bits, ~bits]), axis=1).view(np.uint64)))) == 2


def test_no_hashes_link_to_nothing():
    assert len(hashing.linked(np.zeros((0, 4), np.uint64))) == 0


def test_tiny_and_uneven_classes_are_told(folder):
    fill(folder / "newts", 300, 4)
    fill(folder / "owls", 400, 21)
    assert "newts: 4" in the_sentence(folder, "Fewer than 10 readable photos")
    assert "cats" not in the_sentence(folder, "Fewer than 10 readable photos")
    assert the_sentence(folder, "21 readable photos of owls, 4 of newts")
    assert problems(inspect(folder)) == []


def test_five_times_as_many_is_not_yet_uneven(folder):
    fill(folder / "newts", 300, 4)
    fill(folder / "owls", 400, 20)
    assert not any("owls" in text for text in warnings(inspect(folder)))


def test_a_class_with_too_few_photos_to_divide_is_a_problem(folder):
    fill(folder / "newts", 300, 1)
    fill(folder / "owls", 400, 3)
    (sentence,) = problems(inspect(folder))
    assert sentence.startswith("Every class needs 3 or more usable photos to divide into train, validation and test")
    assert "too few: newts (1); add photos taken at other moments, or divide the folder by hand" in sentence
    assert sentence in as_text(inspect(folder))


@pytest.mark.parametrize(("classes", "fails"), [(["newts"], False), (["newts", "owls", "rats"], True)])
def test_check_and_the_split_agree_on_near_copies_that_span_classes(folder, classes, fails):
    """Each class has three photos, one of them a near copy of a photo of the next class (or of cats)."""
    for number, name in enumerate(classes):
        fill(folder / name, 300 + 2 * number, 2)
        again = scene(300 + 2 * ((number + 1) % len(classes))) if len(classes) > 1 else scene(105)
        (folder / name / "again.jpg").write_bytes(encoded(again, "JPEG", quality=60))
    found = problems(inspect(folder))
    assert bool(found) == fails
    with pytest.raises(DataError, match="add photos taken at other moments") if fails else nullcontext():
        split(without_duplicates(read(folder, (64, 64))), VALIDATION, TEST, SEED)


def test_copies_and_broken_files_do_not_count(folder):
    newts = fill(folder / "newts", 300, 2)
    (newts / "copy.jpg").write_bytes((newts / "300.jpg").read_bytes())
    (newts / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    assert "newts (2)" in problems(inspect(folder))[0]


def test_a_class_that_is_all_in_another_class_is_a_problem(folder):
    (folder / "newts").mkdir()
    for path in (folder / "cats").iterdir():
        (folder / "newts" / path.name).write_bytes(path.read_bytes())
    assert "cats (0), newts (0)" in problems(inspect(folder))[0]


def test_no_readable_photo_at_all_is_a_problem(tmp_path):
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "note.txt").write_text("soon")
    found = inspect(tmp_path)
    assert "cats (0), dogs (0)" in problems(found)[0]
    assert "cats" in as_text(found)


def test_divided_folders_need_each_class_in_each_part(divided):
    assert problems(inspect(divided)) == warnings(inspect(divided)) == []
    for path in [*(divided / "val" / "dogs").iterdir(), *(divided / "train" / "cats").iterdir()]:
        path.write_bytes(b"")
    assert problems(inspect(divided)) == [
        "Every class needs 1 or more usable photos in train; too few: cats (0).",
        "Every class needs 1 or more usable photos in validation; too few: dogs (0).",
    ]


def test_a_part_that_is_not_given_has_to_be_drawn_from_train(divided):
    for part in ("train", "val"):
        (divided / part).rename(divided.parent / part)
    assert problems(inspect(divided)) == [
        "Every class needs 2 or more usable photos in train; too few: cats (0), dogs (0)."
    ]
    (divided.parent / "train").rename(divided / "train")
    assert problems(inspect(divided)) == []


@pytest.mark.parametrize("left", [1, 2, 3])
@pytest.mark.parametrize("given", [["train"], ["train", "val"], ["train", "test"], ["train", "val", "test"]])
def test_a_problem_is_where_the_division_would_fail(divided, given, left):
    for part in {"train", "val", "test"} - set(given):
        (divided / part).rename(divided.parent / part)
    for path in sorted((divided / "train" / "cats").iterdir())[left:]:
        path.unlink()
    dataset = without_duplicates(read(divided, (8, 8)))
    with pytest.raises(DataError) if problems(inspect(divided)) else nullcontext():
        split(dataset, 0.15, 0.15, seed=0)


def test_train_photos_that_are_all_copies_of_test_photos_are_a_problem(divided):
    for path in (divided / "train" / "cats").iterdir():
        path.unlink()
    for path in (divided / "test" / "cats").iterdir():
        (divided / "train" / "cats" / path.name).write_bytes(path.read_bytes())
    assert problems(inspect(divided)) == ["Every class needs 1 or more usable photos in train; too few: cats (0)."]


def test_the_table_has_every_class_and_its_numbers(folder):
    (folder / "cats" / "empty.jpg").touch()
    fill(folder / "newts", 300, 5)
    rows = [line.split() for line in as_text(inspect(folder)).splitlines()]
    assert ["class", "photos", "unreadable"] in rows
    assert [row for row in rows if row and row[0] in ("cats", "dogs", "newts")] == [
        ["cats", "12", "1"], ["dogs", "12", "0"], ["newts", "5", "0"],
    ]  # fmt: skip


def test_the_table_has_a_column_per_part(divided):
    (divided / "test" / "cats" / "100.jpg").unlink(missing_ok=True)
    rows = [line.split() for line in as_text(inspect(divided)).splitlines()]
    assert ["class", "train", "validation", "test", "unreadable"] in rows
    assert ["dogs", "12", "12", "12", "0"] in rows


def test_names_are_shown_as_they_are_and_cannot_drive_a_terminal(folder):
    long = "a very long name of a class " * 6
    for number, name in enumerate(["[red]x", ":smile:", "\x1b[31mred", long]):
        fill(folder / name, 1000 + 100 * number, 3)
    text = as_text(inspect(folder))
    assert "[red]x" in text
    assert ":smile:" in text
    assert "\x1b" not in text
    assert "".join(long.split()) in "".join(text.split()).replace("120", "").replace("30", "")
    assert max(map(len, text.splitlines()[:12])) <= 100


def test_a_name_that_is_no_utf8_can_be_printed(folder):
    (folder / "cats" / "caf\udce9.jpg").touch()
    assert "cats/caf?.jpg" in as_text(inspect(folder)).encode().decode()


def test_at_most_ten_examples_are_shown(folder):
    for number in range(41):
        (folder / "cats" / f"{number:02}.txt").touch()
    lines = the_sentence(folder, "cannot be read: 41 files.").splitlines()
    assert len(lines) == 12
    assert lines[-1].strip() == "... and 31 more"


def test_of_many_copies_only_some_are_named(folder):
    for number in range(20):
        (folder / "cats" / f"x{number:02}.jpg").write_bytes((folder / "cats" / "100.jpg").read_bytes())
    assert the_sentence(folder, "1 photo.").endswith("cats/x02.jpg = ... and 17 more")


def listing(folder):
    return {
        path: (path.stat().st_mtime_ns, path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
    }


def test_nothing_in_the_folder_is_changed(folder):
    (folder / "cats" / "a.jpg").write_bytes(encoded(scene(1), "PNG"))
    (folder / "dogs" / "empty.jpg").touch()
    before = listing(folder)
    as_text(inspect(folder))
    sheet_of(folder)
    assert listing(folder) == before


@needs_shared
def test_real_photos_have_no_problem():
    found = inspect(SHARED / "flowers")
    assert problems(found) == []
    assert len(found.readable) == 300


def sheet_of(folder, **options):
    found = find(folder)
    return contact_sheet(found.classes, found.photos, **options)


def test_a_sheet_has_a_row_per_class_and_a_square_per_photo(folder):
    fill(folder / "newts", 300, 3)
    sheet = sheet_of(folder, per_class=5)
    assert sheet.size == (TITLE + 5 * ROW + GAP, 3 * ROW + GAP)
    assert squares(sheet) == [5, 5, 3]


def squares(sheet):
    """Return the number of photos in each row: the squares that are not white."""
    pixels = np.asarray(sheet)[GAP:, TITLE:]
    rows = [pixels[top : top + SIDE] for top in range(0, len(pixels) - SIDE, ROW)]
    return [sum(bool((row[:, x : x + SIDE] < 250).any()) for x in range(0, row.shape[1] - SIDE, ROW)) for row in rows]


def test_a_sheet_names_its_classes(folder):
    titles = np.asarray(sheet_of(folder).convert("L"))[:, :TITLE]
    assert all((titles[top : top + SIDE] < 100).any() for top in (GAP, GAP + ROW))


def test_a_sheet_passes_over_what_cannot_be_read(folder):
    for path in sorted((folder / "cats").iterdir())[:9]:
        path.write_bytes(b"broken")
    assert squares(sheet_of(folder, per_class=4)) == [3, 4]


def test_a_sheet_is_the_same_with_the_same_seed_only(folder):
    first, again, other = (sheet_of(folder, per_class=4, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_sheet_of_many_classes_is_cut_and_says_so():
    names = [f"class {i}" for i in range(MAX_CLASSES + 3)]
    sheet = contact_sheet(names, [], per_class=2)
    assert sheet.height == MAX_CLASSES * ROW + GAP + ROW // 2
    assert (np.asarray(sheet)[-ROW // 2 :] < 100).any()


def test_a_sheet_takes_any_name(tmp_path):
    names = ["x" * 200, "a\nb", "花", "caf\udce9", ""]
    assert contact_sheet(names, [Photo(tmp_path / "gone.jpg", 0)]).height == 5 * ROW + GAP
