"""A model folder behind the site: its labels, threshold and examples, and the same answers as everywhere else."""

import io
import json
import shutil
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.loading import load
from support.model_folders import COLOURS, write_colours
from support.pictures import encoded, picture, textured
from support.sites import post

from app import create_app
from classifier.photos import fit
from classifier.prediction import output
from classifier.serving.engine import LocalEngine
from classifier.storage.kept import KeptResults
from web.settings import Settings

pytestmark = pytest.mark.tensorflow

THRESHOLD = 0.6
GROUPS = {"warm": ["red", "green"]}
UNSURE = picture("#806e60")  # not much redder than green or blue
NOT_SURE = "Not sure what the image you uploaded is"


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A model folder that knows red, green and blue, with two examples."""
    path = write_colours(tmp_path_factory.mktemp("models") / "colours", threshold=THRESHOLD, groups=GROUPS)
    (path / "examples").mkdir()
    for name, colour in (("1.jpg", "red"), ("2.PNG", "blue")):
        (path / "examples" / name).write_bytes(picture(colour))
    (path / "examples" / "notes.txt").write_text("mine")
    return path


@pytest.fixture(scope="module")
def engine(own):
    ours = load(own)
    engine = LocalEngine(ours)
    yield engine
    engine.close()


@pytest.fixture
def make_site(engine, own, tmp_path):
    """Clients of a site with this folder; keyword arguments are settings."""

    def make(**changes):
        settings = Settings(**{"uploads": tmp_path / "uploads", "model": str(own)} | changes)
        return create_app(engine, settings, KeptResults(settings.uploads, settings.keep_hours)).test_client()

    return make


@pytest.fixture
def site(make_site):
    return make_site()


def text(response) -> str:
    return unescape(response.get_data(as_text=True))


@pytest.mark.every_backend
def test_the_page_and_json_say_its_labels(site):
    assert "This looks like: red (" in text(post(site, picture("red")))
    assert "colours</strong> on" in text(site.get("/"))
    document = post(site, picture("blue"), json=True).json
    assert document["model"] == "colours"
    assert [prediction["label"] for prediction in document["results"][0]["predictions"]] == ["blue", "red", "green"]
    assert {prediction["wnid"] for prediction in document["results"][0]["predictions"]} == {""}


@pytest.mark.every_backend
def test_the_site_the_command_line_and_the_evaluation_agree(site, engine, own, tmp_path):
    """The same photos get the same probabilities in three ways and by hand."""
    from classifier.dataset import reading
    from classifier.evaluation import evaluate
    from classifier.models import folder
    from classifier.photos import decode, files

    tints = {"blue": (0.4, 0.6, 1), "green": (0.5, 1, 0.7), "red": (1, 0.5, 0.4)}
    for name, tint in tints.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        for i, size in enumerate([(320, 240), (97, 410), (33, 32)]):
            photo = Image.fromarray((np.asarray(textured(size)) * tint).astype(np.uint8))
            (tmp_path / "data" / name / f"{i}.jpg").write_bytes(encoded(photo, "JPEG", quality=95))
    paths = files.find([tmp_path / "data"])

    results = post(site, *[(path.read_bytes(), path.name) for path in paths], json=True).json["results"]
    by_site = [{p["label"]: p["score"] for p in result["predictions"]} for result in results]
    out = io.StringIO()
    assert output.run(engine, paths, "json", 3, out) == 0
    by_command = [
        {p["label"]: p["score"] for p in json.loads(line)["predictions"]} for line in out.getvalue().splitlines()
    ]
    photos = reading.read(tmp_path / "data", engine.model.size, engine.model.resize)
    scores = evaluate.predict(load(own), photos, np.arange(len(paths)))
    by_evaluation = [dict(zip(COLOURS, row, strict=True)) for row in scores]
    network, card = folder.read(own)
    pixels = [fit.to_pixels(decode.read(p.read_bytes(), card.size, card.resize), card.size, card.resize) for p in paths]
    by_hand = [dict(zip(COLOURS, row, strict=True)) for row in np.asarray(network(np.stack(pixels)))]

    assert [photo.path for photo in photos.photos] == paths
    assert np.ptp([answer["red"] for answer in by_hand]) > 0.1
    for answers in (by_site, by_command, by_evaluation):
        for answer, expected in zip(answers, by_hand, strict=True):
            assert answer == pytest.approx(expected, abs=1e-5)
            assert max(answer, key=answer.get) == max(expected, key=expected.get)


@pytest.mark.every_backend
def test_evaluate_counts_what_the_site_would_say(site, own, tmp_path):
    from classifier.evaluation import evaluate

    photos = {"red": picture("red"), "green": UNSURE, "blue": picture("blue")}  # the second is taken for red
    for name, data in photos.items():
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_bytes(data)
    results = post(site, *photos.values(), json=True).json["results"]
    said = [result["predictions"][0]["label"] for result in results]
    metrics, classes = evaluate.evaluate(own, tmp_path / "data")
    assert classes == COLOURS
    assert said == ["red", "red", "blue"]
    assert metrics["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.every_backend
def test_under_its_threshold_it_is_not_sure(site):
    response = post(site, UNSURE)
    assert NOT_SURE in text(response)
    assert "This looks like" not in text(response)
    assert "The closest match is red, with" in text(response)
    assert "at least 60.00% to name a photo" in text(response)
    (result,) = post(site, UNSURE, json=True).json["results"]
    assert result["sure"] is False
    assert result["predictions"][0]["label"] == "red"


def test_above_its_threshold_it_is_sure(site):
    assert NOT_SURE not in text(post(site, picture("red")))
    assert post(site, picture("red"), json=True).json["results"][0]["sure"] is True


def test_a_group_of_classes_may_be_sure_where_none_of_them_is(site, engine, make_site):
    (result,) = post(site, UNSURE, json=True).json["results"]
    both = sum(prediction["score"] for prediction in result["predictions"] if prediction["label"] in GROUPS["warm"])
    assert result["broader"] == {"wnid": "", "label": "warm", "score": pytest.approx(both)}
    assert f"Surely warm ({both:.0%})" in text(post(site, UNSURE))
    assert "broader" not in post(site, picture("red"), json=True).json["results"][0]
    assert "broader" not in post(make_site(threshold=0.0), UNSURE, json=True).json["results"][0]


def test_a_kept_result_stays_as_sure_as_it_was(site, make_site):
    for photo, sure in ((UNSURE, False), (picture("red"), True)):
        (result,) = post(site, photo, json=True).json["results"]
        for client in (site, make_site(threshold=0.0 if not sure else 1.0)):  # whatever the threshold is by then
            (again,) = client.get(result["url"], headers={"Accept": "application/json"}).json["results"]
            assert again["sure"] is sure
            assert (NOT_SURE in text(client.get(result["url"]))) is not sure


def test_a_threshold_of_0_switches_it_off(make_site):
    client = make_site(threshold=0.0)
    assert "This looks like: red (" in text(post(client, UNSURE))
    assert "sure" not in post(client, UNSURE, json=True).json["results"][0]


def test_a_threshold_of_ones_own_counts(make_site):
    assert post(make_site(threshold=1.0), picture("red"), json=True).json["results"][0]["sure"] is False
    assert post(make_site(threshold=0.1), UNSURE, json=True).json["results"][0]["sure"] is True


def test_settings_from_the_environment_tell_no_threshold_from_0():
    assert Settings.from_environ({}).threshold is None
    assert Settings.from_environ({"CLASSIFIER_THRESHOLD": "0"}).threshold == 0


def test_without_a_place_for_results_it_is_unsure_all_the_same(make_site):
    assert NOT_SURE in text(post(make_site(keep_hours=0), UNSURE))


@pytest.mark.parametrize("precision", [pytest.param("bfloat16", marks=pytest.mark.every_backend), "float16"])
def test_it_runs_in_reduced_precision_but_for_the_softmax(own, precision):
    from classifier.models import folder
    from classifier.models.precision import PROBABILITIES, rebuilt

    low, full = load(own, precision=precision), load(own)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    assert (low.info.precision, full.info.precision) == (precision, "float32")
    assert low(pixels).dtype == np.float32
    np.testing.assert_allclose(low(pixels).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(low(pixels), full(pixels), atol=0.02)
    network, _ = folder.read(own)
    network = rebuilt(network.get_config(), network.get_weights(), precision)
    assert network.get_layer(PROBABILITIES).compute_dtype == "float32"
    assert {str(weight.dtype) for weight in network.weights} == {precision}


def test_examples_are_on_the_page_and_answered(site):
    page = text(site.get("/"))
    for name, label in (("1.jpg", "red"), ("2.PNG", "blue")):
        assert f'name="example" value="{name}"' in page
        assert f'src="/examples/{name}"' in page
        answer = site.post("/", data={"example": name}, headers={"Accept": "application/json"}).json["results"][0]
        assert answer["predictions"][0]["label"] == label
        assert answer["filename"] == name
        assert f"This looks like: {label} (" in text(site.post("/", data={"example": name}))
    assert "notes.txt" not in page


def test_an_example_is_served_as_the_picture_it_is(site, own):
    response = site.get("/examples/2.PNG")
    assert response.status_code == 200
    assert response.mimetype == "image/png"
    assert response.data == (own / "examples" / "2.PNG").read_bytes()


TRICKS = [
    "3.jpg",
    "notes.txt",
    "../model.json",
    "../examples/1.jpg",
    "..",
    ".",
    "1.jpg\0",
    "1.jpg\0.png",
    "\0",
    " 1.jpg",
]


@pytest.mark.parametrize(
    "name", [*TRICKS, "{own}/examples/1.jpg", "/etc/passwd", "..\\model.json", "./1.jpg", "1.jpg/"]
)
def test_an_example_of_another_name_is_404(site, own, name):
    name = name.format(own=own)
    response = site.post("/", data={"example": name}, headers={"Accept": "application/json"})
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"
    if name != ".":  # which is resolved before it is sent
        quoted = "".join(f"%{byte:02x}" for byte in name.encode())
        assert site.get(f"/examples/{quoted}").status_code == 404


def test_an_empty_example_is_no_photo(site):
    assert site.post("/", data={"example": ""}).status_code == 400


def test_without_examples_of_its_own_a_model_has_those_of_the_site(make_site, tmp_path):
    page = text(make_site(model=str(tmp_path)).get("/"))
    assert 'src="/examples/balloon.jpg"' in page


def test_without_any_examples_there_is_no_heading_for_them(make_site, tmp_path, monkeypatch):
    monkeypatch.setattr("web.pages.examples.ROOT", tmp_path)
    assert "Or try one of these" not in text(make_site(model=str(tmp_path)).get("/"))


def test_the_folder_of_examples_may_hold_anything(make_site, own, tmp_path):
    path = Path(shutil.copytree(own, tmp_path / "odd"))
    (path / "examples" / "a folder.jpg").mkdir()
    (path / "examples" / "gone.jpg").symlink_to("nowhere")
    Path(f"{path}/examples/caf\udce9.jpg").write_bytes(picture("red"))
    (path / "examples" / "new\nline.jpg").write_bytes(picture("red"))
    (path / "examples" / "<b>&'\".jpg").write_bytes(picture("blue"))
    page = make_site(model=str(path)).get("/")
    assert page.status_code == 200
    assert page.get_data(as_text=True).count('name="example"') == 3
    assert 'value="<b>' not in page.get_data(as_text=True)
    (path / "examples" / "1.jpg").unlink()
    assert make_site(model=str(path)).get("/examples/1.jpg").status_code == 404


def test_at_most_twelve_examples(make_site, own, tmp_path):
    path = Path(shutil.copytree(own, tmp_path / "many"))
    for i in range(30):
        (path / "examples" / f"{i:02}.png").write_bytes(picture("red"))
    assert text(make_site(model=str(path)).get("/")).count('name="example"') == 12


def test_a_notice_is_on_every_page_and_escaped(make_site):
    notice = '<b>Down</b> on Sunday & "Monday"'
    client = make_site(notice=notice)
    (result,) = post(client, picture("red"), json=True).json["results"]
    pages = [
        client.get("/"),
        post(client, picture("red")),
        client.get(result["url"]),
        client.get("/nowhere"),
        client.post("/"),
        client.post("/", data={"example": "../model.json"}),
        client.post(f"{result['url']}/delete"),
    ]
    for page in pages:
        assert notice in text(page)
        assert "<b>" not in page.get_data(as_text=True)


def test_a_label_is_escaped_everywhere(tmp_path, own):
    path = Path(shutil.copytree(own, tmp_path / "odd"))
    card = json.loads((path / "model.json").read_text())
    labels = ["<script>alert(1)</script>", 'a"b', "c&d_e, f"]
    (path / "model.json").write_text(json.dumps(card | {"labels": labels}))
    engine = LocalEngine(load(path))
    settings = Settings(uploads=tmp_path / "uploads", model=str(path))
    client = create_app(engine, settings, KeptResults(settings.uploads)).test_client()
    page = post(client, picture("red"))
    assert page.status_code == 200
    assert "<script>alert" not in page.get_data(as_text=True)
    assert labels[0] in text(page)
    engine.close()


def test_a_folder_trained_elsewhere_serves_by_its_own_way_of_resizing(tmp_path):
    stretched = load(write_colours(tmp_path / "stretched", resize="stretch"))
    wide = Image.new("RGB", (400, 100), "red")
    wide.paste("blue", (150, 0, 250, 100))  # the middle, all that crop would see
    engine = LocalEngine(stretched)
    (answer,) = engine.classify([encoded(wide)])
    engine.close()
    assert answer.predictions[0].label == "red"
