"""Every page of the site: notices, headers, addresses."""

import json
import re
from dataclasses import replace

import pytest
from support.pictures import picture
from support.sites import post


def page(response) -> str:
    return response.get_data(as_text=True)


def test_random_weights_are_announced_on_every_page(make_client, monkeypatch):
    from support.models import ToyModel

    assert "answers mean nothing" not in page(make_client().get("/"))
    monkeypatch.setattr(ToyModel, "info", replace(ToyModel.info, is_random=True))
    client = make_client()
    url = post(client, picture(), json=True).json["results"][0]["url"]
    for response in (client.get("/"), post(client, picture()), client.get(url), client.get("/nowhere"), post(client)):
        assert "answers mean nothing" in page(response)


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/site.css", "/results/" + "0" * 32])
def test_every_answer_has_the_security_headers(client, path):
    with client.get(path) as response:
        headers = response.headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_pages_need_no_inline_style_or_script_and_nothing_from_elsewhere(client):
    html = page(post(client, picture()))
    assert not re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", html)
    assert not re.search(r'(src|href)="(https?:)?//', html)
    for address in re.findall(r'<link[^>]*href="([^"]+)"', html):
        with client.get(address) as response:
            assert response.status_code == 200


def test_under_a_path_prefix_every_address_carries_it(client):
    html = page(client.get("/", base_url="http://localhost/vision"))
    addresses = re.findall(r'(?:href|src|action)="([^"#]+)"', html)
    assert addresses
    assert all(address.startswith("/vision/") for address in addresses)


def test_json_escapes_nothing_away(client):
    document = json.loads(post(client, (picture(), "katze äöü 猫.png"), json=True).data)
    assert document["results"][0]["filename"] == "katze äöü 猫.png"
