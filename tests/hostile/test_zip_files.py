"""Hostile zip files against gunicorn: each gets its sentence, and none takes much memory, even several at a time."""

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

from hostile.hostile_requests import strangers, toy_site
from hostile.test_attacks import memory_mb
from serving import multipart
from support.pictures import picture
from support.zip_files import HOSTILE

PROMISED_MB = 200
AT_ONCE = 3  # the site takes four, but one that has just been answered may still have its place


def sent(target, data):
    """Return the status and the sentences of the answer."""
    connection = HTTPConnection(target.host, target.port, timeout=60)
    try:
        body, headers = multipart("fileImage", data)
        connection.request("POST", "/", body, headers | {"Accept": "application/json"})
        response = connection.getresponse()
        return response.status, json.load(response)["results"]
    finally:
        connection.close()


def test_hostile_zip_files_get_their_sentences_in_little_memory(tmp_path):
    archives = {name: make() for name, (make, _) in HOSTILE.items()}
    with toy_site(tmp_path) as target, ThreadPoolExecutor(AT_ONCE) as pool:
        sent(target, picture("lime"))
        idle_mb = memory_mb(target.worker, "VmRSS")
        answers = dict(zip(archives, pool.map(lambda data: sent(target, data), archives.values()), strict=True))
        assert memory_mb(target.worker, "VmHWM") - idle_mb < PROMISED_MB
        assert sent(target, picture("lime"))[0] == 200
    for name, (status, results) in answers.items():
        assert status < 500, name
        assert all(HOSTILE[name][1] in result["error"]["detail"] for result in results), name
    assert strangers(tmp_path) == []
