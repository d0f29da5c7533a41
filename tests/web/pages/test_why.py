"""/results/<id>/why: the heat map as a picture and as numbers."""

import io
import re

import numpy as np
import pytest
from PIL import Image
from support.pictures import encoded, picture
from support.sites import post

from classifier.photos.overlay import overlay


@pytest.fixture
def kept(client):
    """A photo whose left half is red."""
    image = Image.new("RGB", (448, 224), "black")
    image.paste("red", (0, 0, 224, 224))
    return post(client, encoded(image), json=True).json["results"][0]


def opened(data):
    return Image.open(io.BytesIO(data)).convert("RGBA")


def test_the_overlay_has_the_pictures_size_and_is_hot_where_the_class_is(client, kept):
    response = client.get(kept["url"] + "/why?class=0")
    assert response.mimetype == "image/png"
    alpha = np.asarray(opened(response.data))[..., 3]
    assert alpha.shape == (224, 448)
    assert alpha[112, 180] > 150
    assert alpha[112, 270] < 20
    assert not alpha[:, :100].any()  # outside of what the model looked at


def test_a_class_that_is_nowhere_gives_an_overlay_that_shows_nothing(client, kept):
    assert not np.asarray(opened(client.get(kept["url"] + "/why?class=2").data))[..., 3].any()


def test_json_has_the_numbers(client, kept):
    document = client.get(kept["url"] + "/why?class=0", headers={"Accept": "application/json"}).json
    assert document["index"] == 0
    assert document["size"] == [448, 224]
    left, upper, right, lower = document["box"]
    assert (right - left, lower - upper) == (196, 196)
    assert len(document["heat"]) == 7
    assert document["heat"][3][0] > 0.9


@pytest.mark.parametrize("query", ["", "?class=", "?class=x", "?class=-1", "?class=3", "?class=99999999999999999999"])
def test_no_such_class_is_one_sentence(client, kept, query):
    response = client.get(kept["url"] + "/why" + query, headers={"Accept": "application/json"})
    assert response.status_code == 422
    assert "this model has 3" in response.json["detail"]


def test_an_unknown_result_is_404(client):
    assert client.get("/results/" + 32 * "0" + "/why?class=0").status_code == 404


def test_the_page_shows_the_overlay_over_the_picture_without_a_script(client, kept):
    page = client.get(kept["url"] + "?why=0").get_data(as_text=True)
    assert f'src="{kept["url"]}/why?class=0"' in page
    assert len(re.findall('class="why [^>]*aria-current="true"', page)) == 1
    assert f'src="{kept["url"]}/why' not in client.get(kept["url"]).get_data(as_text=True)


def test_where_nothing_is_kept_there_is_no_why(make_client):
    page = post(make_client(keep_hours=0), picture()).get_data(as_text=True)
    assert "Why?" not in page


def test_an_overlay_covers_its_box_only():
    alpha = np.asarray(opened(overlay(np.ones((2, 2)), (30, 20), (5.2, 4.0, 25.4, 16.0))))[..., 3]
    assert alpha.astype(bool).sum() == 20 * 12
    assert alpha[4:16, 5:25].all()
