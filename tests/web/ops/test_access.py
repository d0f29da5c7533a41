"""Access control: the token, the rate limit, host names, and the true client behind proxies."""

import base64
import shutil
import subprocess

import pytest
from serving import free_port
from support.pictures import picture
from support.sites import post

from classifier.errors import StartupError

SECRET = {"token": "se-cret-ü"}
BEHIND = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "photos.example.org"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()}


@pytest.mark.parametrize("url", ["/", "/static/site.css", "/results/" + "0" * 32, "/nowhere"])
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), basic("wrong"), {"Authorization": "Basic %%%"}])
def test_without_the_token_there_is_nothing_to_see(make_client, url, headers):
    response = make_client(**SECRET).get(url, headers=headers)
    assert response.status_code == 401
    assert "needs its access token" in response.text
    assert "<form" not in response.text
    ways = response.headers.getlist("WWW-Authenticate")
    assert [way.split()[0].lower() for way in ways] == ["basic", "bearer"]


def test_the_refusal_is_json_for_those_who_ask(make_client):
    response = make_client(**SECRET).post("/", headers={"Accept": "application/json"})
    assert (response.status_code, response.mimetype) == (401, "application/problem+json")


@pytest.mark.parametrize("headers", [basic("plain"), bearer("plain")])
def test_the_token_lets_in(make_client, headers):
    client = make_client(token="plain")
    assert client.get("/", headers=headers).status_code == 200


def test_a_browser_sends_a_token_in_any_letters(make_client):
    assert make_client(**SECRET).get("/", headers=basic("se-cret-ü")).status_code == 200


@pytest.mark.parametrize("url", ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_token(make_client, url):
    assert make_client(**SECRET).get(url).status_code == 200


def test_who_asks_too_often_is_told_when_to_come_again(make_client):
    client = make_client(rate="2/minute")
    assert [post(client, picture("lime")).status_code for _ in range(3)] == [200, 200, 429]
    refused = post(client, picture("lime"), json=True)
    assert refused.json["detail"].startswith("You have sent more requests than this site allows")
    assert 0 < int(refused.headers["Retry-After"]) <= 61
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(("path", "statuses"), [("/why?class=0", [200, 429]), ("/image", [200, 200])])
def test_heat_maps_count_towards_the_rate_and_pictures_do_not(make_client, path, statuses):
    client = make_client(rate="2/minute")
    (result,) = post(client, picture("lime"), json=True).json["results"]
    assert [client.get(result["url"] + path).status_code for _ in range(2)] == statuses


def test_each_client_behind_the_proxy_has_a_rate_of_its_own(make_client):
    client = make_client(rate="1/minute", proxies=1)
    statuses = [
        client.post("/", headers={"X-Forwarded-For": f"198.51.100.9, {address}"}).status_code
        for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1")
    ]
    assert statuses == [400, 400, 429]


def test_without_a_proxy_nobody_gets_around_the_rate_by_a_header(make_client):
    client = make_client(rate="1/minute")
    statuses = [client.post("/", headers={"X-Forwarded-For": f"203.0.113.{n}"}).status_code for n in range(2)]
    assert statuses == [400, 429]


def test_the_rate_goes_on_while_redis_is_away(make_client):
    client = make_client(rate="1/minute", rate_storage="redis://127.0.0.1:1")
    assert [client.post("/").status_code for _ in range(2)] == [400, 429]


@pytest.fixture
def redis(tmp_path):
    """The address of a real Redis."""
    if not shutil.which("redis-server"):
        pytest.skip("needs redis-server")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        next(line for line in server.stdout if "Ready to accept" in line)
        yield f"redis://127.0.0.1:{port}"
        server.terminate()


def test_machines_that_share_a_redis_count_together(make_client, redis):
    clients = [make_client(rate="3/minute", rate_storage=redis) for _ in range(2)]
    assert [client.post("/").status_code for _ in range(2) for client in clients] == [400, 400, 400, 429]


def test_a_storage_that_there_is_not_is_told_at_the_start(make_client):
    with pytest.raises(StartupError, match="CLASSIFIER_RATE_STORAGE=nosuch://x cannot be used"):
        make_client(rate="1/minute", rate_storage="nosuch://x")


@pytest.mark.parametrize("host", ["photos.example.org", "a.example.net"])
def test_known_host_names_are_answered_to(make_client, host):
    client = make_client(trusted_hosts=("photos.example.org", ".example.net"))
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_other_host_names_are_not(make_client, accept):
    client = make_client(trusted_hosts=("photos.example.org",))
    response = client.get("/", headers={"Host": "evil.example.com", "Accept": accept})
    assert response.status_code == 400
    assert "does not serve that host name" in response.text
    assert "evil" not in response.text


def test_no_answer_repeats_a_host_that_nobody_vouches_for(make_client):
    client = make_client(proxies=1)
    forged = {"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"}
    rules = [rule.rule for rule in client.application.url_map.iter_rules()]
    addresses = [*rules, "/v2//models/toy", "/nowhere"]
    responses = [client.open(url, method=method, headers=forged) for url in addresses for method in ("GET", "POST")]
    responses.append(client.post("/", data={"example": "clock.jpg"}, headers=forged))
    for response in responses:
        assert "evil" not in f"{response.headers}{response.text}", response.request.path
    assert "https://site.example</span>/results/" in responses[-1].text


@pytest.mark.parametrize(
    ("sent", "location"),
    [("/v2//health/live?x=1", "/v2/health/live?x=1"), ("", "/")],
)
def test_redirects_stay_on_the_site_and_name_no_host(make_client, sent, location):
    path, _, query = sent.partition("?")
    environ = {"PATH_INFO": path, "QUERY_STRING": query}
    response = make_client().get("/", environ_overrides=environ, headers={"Host": "evil.example.com"})
    assert (response.status_code, response.headers["Location"]) == (308, location)
    assert "evil" not in response.text


def test_the_line_for_curl_names_a_host_that_is_known(make_client):
    client = make_client(trusted_hosts=("photos.example.org",), proxies=1)
    page = client.post("/", data={"example": "clock.jpg"}, headers=BEHIND).text
    assert "https://photos.example.org</span>/results/" in page


def test_links_are_those_of_the_outside(make_client):
    headers = BEHIND | {"X-Forwarded-Prefix": "/vision", "Accept": "application/json"}
    response = make_client(proxies=1).post("/", data={"example": "clock.jpg"}, headers=headers)
    (result,) = response.json["results"]
    assert result["url"].startswith("/vision/results/")


def test_forwarded_headers_mean_nothing_without_a_proxy(make_client):
    page = make_client().get("/", headers=BEHIND | {"X-Forwarded-Prefix": "/vision"}).text
    assert "/vision" not in page
    assert "example.org" not in page
