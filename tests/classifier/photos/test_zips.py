"""Photos out of zip files from strangers: bounded, one by one, by names that lead nowhere."""

import io

import pytest
from support.pictures import picture
from support.zip_files import HOSTILE, Entry, forged, stored, zipped

from classifier.errors import ClassifierError, NoImage, TooLarge
from classifier.photos.zips import ZipLimits, is_zip, photos

LIMITS = ZipLimits(photos=1000, bytes=2**31, photo_bytes=20 * 2**20)
RED, LIME = picture("red"), picture("lime")


def found(data, limits=LIMITS):
    return photos(io.BytesIO(data), limits)


def names(data):
    return [photo.name for photo in found(data)]


@pytest.mark.parametrize("method", [0, 8], ids=["stored", "deflated"])
def test_photos_come_as_they_were_packed(method):
    data = zipped(("b.png", RED), ("a/c.jpg", LIME), ("notes.txt", b"words"), method=method)
    assert [(photo.name, photo.size, photo.read()) for photo in found(data)] == [
        ("b.png", len(RED), RED),
        ("a/c.jpg", len(LIME), LIME),
        ("notes.txt", 5, b"words"),
    ]


def test_folders_and_what_systems_add_are_passed_over():
    extra = ["a/", "__MACOSX/a/._b.png", "a/.DS_Store", "a/Thumbs.db", "desktop.ini", "@eaDir/b.png", ".hidden/c.png"]
    assert names(zipped(*((name, b"x") for name in extra), ("a/b.png", RED))) == ["a/b.png"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.png", "etc/passwd.png"),
        ("/etc/x.png", "etc/x.png"),
        ("..\\..\\x.png", "x.png"),
        ("./a//b.png", "a/b.png"),
        (".\x01./x.png", "x.png"),
        ("a\x1b[2J.png", "a[2J.png"),
        ("Ämter/写真.png", "Ämter/写真.png"),
        ("x" * 300 + ".png", "x" * 251 + ".png"),
    ],
)
def test_a_name_is_shown_and_leads_nowhere(name, shown):
    assert names(forged([stored(name, RED)])) == [shown]


def test_names_in_utf_8_are_read_even_if_nothing_says_so():
    """macOS packs them so; other names are in CP437, as the format has it."""
    assert names(forged([stored("Käse.png", RED, flags=0)])) == ["Käse.png"]
    cp437 = forged([stored("K?se.png", RED, flags=0)]).replace(b"K?se", b"K\x84se")
    assert names(cp437) == ["Käse.png"]


@pytest.mark.parametrize(("make", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_zip_file_gets_its_sentence(make, sentence):
    data = make()
    with pytest.raises(ClassifierError, match=sentence):
        [photo.read() for photo in found(data)]


def test_a_broken_photo_does_not_harm_its_neighbours():
    first, broken, last = found(forged([stored("a.png", RED), Entry("b.png", RED, crc=7), stored("c.png", LIME)]))
    with pytest.raises(ClassifierError):
        broken.read()
    assert (last.read(), first.read()) == (LIME, RED)


def test_all_of_a_request_share_the_limits():
    data = zipped(("a.png", RED), ("b.png", LIME))
    left = LIMITS._replace(photos=3).without(2, 1)
    assert (left.photos, left.bytes) == (1, 2**31 - 1)
    with pytest.raises(TooLarge, match="holds 2 photos, but one request may hold 1"):
        found(data, left)


def test_a_drawing_that_packs_well_is_no_bomb():
    bmp = picture("red", (700, 500), "BMP")
    assert [photo.read() for photo in found(zipped(("a.bmp", bmp)))] == [bmp]


def test_a_zip_file_is_known_by_its_first_bytes():
    assert is_zip(zipped(("a", b"x")))
    assert is_zip(zipped())
    assert not is_zip(RED)
    assert not is_zip(b"PK")


def test_a_list_with_as_many_long_names_as_allowed_is_read():
    entries = [stored(f"{'folder/' * 20}{n}.png", b"x") for n in range(1000)]
    twins = [stored(f"__MACOSX/{'folder/' * 20}._{n}.png", b"x") for n in range(1000)]
    assert len(found(forged([*entries, *twins]))) == 1000


def test_a_zip_file_of_documents_only_is_not_tried_one_by_one():
    with pytest.raises(NoImage):
        found(zipped(("a.txt", b"x")))
