"""A visitor's recent photos: listed from cookies that this site has signed, for nobody else, and forgotten at once."""

import io
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.pictures import picture
from support.sites import post

from web.pages.recent import MAX_RECENT


def kept(client, *colours):
    return [result["id"] for result in post(client, *map(picture, colours), json=True).json["results"]]


def listed(client, **headers):
    """Return the ids in the list of the home page, as shown."""
    html = client.get("/", headers=headers).text
    return re.findall(r'<img src="/results/(\w+)/image"', html)


def cookies(client):
    return {cookie.key: cookie.value for cookie in client._cookies.values()}


@pytest.fixture
def another(client):
    """Another visitor's browser at the same site."""
    return client.application.test_client()


def test_the_home_page_lists_what_the_visitor_sent_the_newest_first(client):
    assert listed(client) == []
    first, second = kept(client, "red"), kept(client, "lime", "blue")
    assert listed(client) == second + first
    assert "Egyptian cat" in client.get("/").text


def test_they_are_not_read_for_the_script_which_takes_only_the_answer(client):
    (id,) = kept(client, "red")
    html = client.get(f"/results/{id}", headers={"Sec-Fetch-Dest": "empty"}).text
    assert "Egyptian cat" in html
    assert "Your recent photos" not in html
    assert "Your recent photos" in client.get(f"/results/{id}", headers={"Sec-Fetch-Dest": "document"}).text
    assert "Your recent photos" in client.get(f"/results/{id}").text


def test_two_visitors_never_see_each_others_photos(client, another):
    ours, theirs = kept(client, "red"), kept(another, "lime")
    assert (listed(client), listed(another)) == (ours, theirs)
    another.get(f"/results/{ours[0]}")  # being shown a result adds it to nothing
    assert listed(another) == theirs


def test_the_cookies_are_out_of_reach_for_scripts_and_other_sites(client):
    header = post(client, picture()).headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"} <= set(header.split("; "))
    assert "Secure" not in header


def test_behind_an_https_proxy_they_are_secure(make_client):
    client = make_client(proxies=1)
    response = client.get("/", headers={"X-Forwarded-Proto": "https"})
    assert "Set-Cookie" not in response.headers
    data = {"fileImage": (io.BytesIO(picture()), "a.png")}
    header = client.post("/", data=data, headers={"X-Forwarded-Proto": "https"}).headers["Set-Cookie"]
    assert "Secure" in header.split("; ")


FORGERIES = {
    "unsigned": lambda name, value: (name, value.partition(".")[0]),
    "another signature": lambda name, value: (name, value[:-4] + "AAAA"),
    "another id": lambda name, value: (name, "0" * 32 + value[32:]),
    "another name": lambda name, value: (name[:-1] + "x", value),
    "empty": lambda name, value: (name, ""),
    "not ASCII": lambda name, value: (name, "\xff.\xfe"),
    "long": lambda name, value: (name, "-".join(["0" * 32] * 100)),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_cookie_is_ignored(client, another, forged):
    kept(client, "red")
    ((name, value),) = cookies(client).items()
    another.set_cookie(*forged(name, value))
    assert another.get("/").status_code == 200
    assert listed(another) == []
    own = kept(another, "lime")
    assert listed(another) == own


def test_a_cookie_of_another_site_on_the_same_host_is_ignored(client, make_client, tmp_path):
    kept(client, "red")
    other_site = make_client(uploads=tmp_path / "other")
    for name, value in cookies(client).items():
        other_site.set_cookie(name, value)
    assert listed(other_site) == []


def test_the_list_is_bounded_and_so_are_the_cookies(client):
    batches = [kept(client, *["red"] * 10) for _ in range(3)]
    assert listed(client) == [id for batch in reversed(batches) for id in batch][:MAX_RECENT]
    singles = [kept(client, "lime")[0] for _ in range(4)]
    assert listed(client) == [*reversed(singles), *batches[2], *batches[1]]
    assert len(cookies(client)) == 4 + 2
    assert all(len(name) + len(value) < 110 for name, value in list(cookies(client).items())[2:])


def test_photos_sent_side_by_side_are_all_remembered(client):
    """As the page sends them: neither request knows the other's cookie."""
    before = cookies(client)

    def sent(colour):
        browser = client.application.test_client()
        for name, value in before.items():
            browser.set_cookie(name, value)
        return kept(browser, colour), cookies(browser)

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(sent, ["red", "lime"]))
    for _, got in answers:
        for name, value in got.items():
            client.set_cookie(name, value)
    assert sorted(listed(client)) == sorted(id for ids, _ in answers for id in ids)


@pytest.mark.parametrize("by_form", [False, True])
def test_deleting_a_result_takes_it_out(client, by_form):
    first, second = kept(client, "red", "lime")
    url = f"/results/{first}"
    response = client.post(url + "/delete") if by_form else client.delete(url)
    assert response.status_code < 300
    assert listed(client) == [second]
    assert first not in str(cookies(client))
    client.delete(f"/results/{second}")
    assert cookies(client) == {}


def test_a_result_that_another_deleted_is_not_listed(client, another):
    first, second = kept(client, "red", "lime")
    another.delete(f"/results/{first}")
    assert listed(client) == [second]


def test_one_button_forgets_all(client):
    ids = kept(client, "red") + kept(client, "lime")
    html = client.get("/").text
    assert re.search(r'<form method="post" action="/recent/forget">', html)
    response = client.post("/recent/forget")
    assert (response.status_code, response.location) == (303, "/")
    assert cookies(client) == {}
    assert listed(client) == []
    assert client.get(f"/results/{ids[0]}").status_code == 200  # until it expires


def test_with_keep_hours_0_there_is_no_list_and_no_cookie(client, make_client, settings):
    kept(client, "red")
    nothing_kept = make_client(keep_hours=0)
    for name, value in cookies(client).items():
        nothing_kept.set_cookie(name, value)
    assert listed(nothing_kept) == []
    assert "Set-Cookie" not in post(nothing_kept, picture()).headers


def test_a_restart_and_other_processes_know_the_same_cookies(client, make_client):
    ids = kept(client, "red")
    restarted = make_client()
    for name, value in cookies(client).items():
        restarted.set_cookie(name, value)
    assert listed(restarted) == ids


def test_the_key_is_for_the_sites_user_alone(client, settings):
    kept(client, "red")
    assert (settings.uploads / "cookies.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"short"])
def test_a_damaged_key_costs_only_the_list(client, settings, caplog, content):
    settings.uploads.mkdir()
    (settings.uploads / "cookies.key").write_bytes(content)
    response = post(client, picture("lime"))
    assert response.status_code == 200
    assert "Set-Cookie" not in response.headers
    assert "must have 32 bytes" in caplog.text


def test_a_page_with_the_list_is_in_no_shared_cache(client):
    response = client.get("/")
    assert response.cache_control.private
    assert "Cookie" in response.headers["Vary"]


CHANGES = ["/results/{id}/delete", "/results/{id}/feedback", "/recent/forget"]
ELSEWHERE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:8080"},
]
HERE = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://behind.a.proxy"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
]


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_is_refused_if_another_sites_page_asks_for_it_but_not_if_this_site_or_curl_does(client, path):
    (id,) = kept(client, "red")
    for headers in ELSEWHERE:
        refused = client.post(path.format(id=id), data={"right": "yes"}, headers=headers)
        assert (refused.status_code, "page of another site sent this request" in refused.text) == (403, True), headers
    problem = client.post(path.format(id=id), headers=ELSEWHERE[0] | {"Accept": "application/json"})
    assert (problem.status_code, problem.mimetype) == (403, "application/problem+json")
    assert listed(client) == [id]
    for headers in HERE:
        (id,) = kept(client, "red")
        assert client.post(path.format(id=id), data={"right": "yes"}, headers=headers).status_code in (200, 303), (
            headers
        )


def test_deleting_by_method_is_checked_as_well(client):
    (id,) = kept(client, "red")
    assert client.delete(f"/results/{id}", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.delete(f"/results/{id}").status_code == 204


def test_behind_a_declared_proxy_the_origin_is_that_of_the_proxy(make_client):
    client = make_client(proxies=1)
    headers = {"X-Forwarded-Host": "photos.example.org", "Origin": "https://photos.example.org"}
    assert client.post("/recent/forget", headers=headers).status_code == 303
