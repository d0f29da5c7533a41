"""Static text is compressed for clients that accept gzip, with the same content, and nothing else is."""

import gzip

import pytest

CSS = "/static/site.css"
BROWSER = "gzip, deflate, br"


@pytest.fixture
def get(client):
    """Return the response for a file, read and closed, to a browser's headers or to others."""

    def get(url=CSS, accepted=BROWSER, **headers):
        with client.get(url, headers={"Accept-Encoding": accepted, **headers}) as response:
            response.get_data()
        return response

    return get


@pytest.mark.parametrize("url", [CSS, "/static/site.js", "/bootstrap/static/css/bootstrap.min.css"])
def test_text_is_compressed_for_a_browser(get, url):
    plain, small = get(url, "identity"), get(url)
    assert gzip.decompress(small.data) == plain.data
    assert small.headers["Content-Encoding"] == "gzip"
    assert small.content_length == len(small.data) < plain.content_length / 2
    assert "Accept-Encoding" in small.vary
    assert "Accept-Encoding" in plain.vary


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", ""])
def test_who_does_not_take_gzip_gets_the_file(get, accepted):
    response = get(CSS, accepted)
    assert "Content-Encoding" not in response.headers
    assert b"{" in response.data


def test_what_the_browser_has_is_not_sent_again(get):
    again = get(**{"If-None-Match": get().headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "Accept-Encoding" in again.vary


def test_pages_stay_as_they_are(get):
    assert "Content-Encoding" not in get("/").headers


def test_a_part_of_a_file_is_that_part(get):
    part = get(Range="bytes=0-9")
    assert part.status_code == 206
    assert part.data == get(CSS, "identity").data[:10]
