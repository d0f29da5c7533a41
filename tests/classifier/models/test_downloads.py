"""A download arrives whole or not at all, goes on where it stopped, and does not wait long for a silent host."""

import hashlib
import pickle
import socket
import threading

import pytest
from serving import free_port
from support.weights_server import weights_server

from classifier.errors import NotDownloaded
from classifier.models.downloads import NotCached, RemoteFile, fetch, obtain

CONTENT = bytes(range(256)) * 20_000  # 5 MB
HALF = len(CONTENT) // 2


@pytest.fixture
def server():
    with weights_server(CONTENT) as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "weights.h5"


@pytest.fixture(params=["md5", "sha256"])
def file(server, path, request):
    return RemoteFile("VGG16", server.url, path, hashlib.new(request.param, CONTENT).hexdigest())


def ignore(done, total):
    pass


def test_a_file_arrives_and_its_progress_is_noted(file):
    noted = []
    fetch(file, lambda done, total: noted.append((done, total)))
    assert file.path.read_bytes() == CONTENT
    assert noted == sorted(noted)
    assert noted[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in file.path.parent.iterdir()] == [file.path.name]


def test_a_file_that_is_there_is_not_requested(server, file):
    fetch(file, ignore)
    fetch(file, ignore)
    assert server.ranges == [""]


def test_a_connection_that_breaks_goes_on_where_it_stopped(server, file):
    server.breaks = 2
    fetch(file, ignore)
    assert file.path.read_bytes() == CONTENT
    assert server.ranges == ["", f"bytes={HALF}-", f"bytes={HALF + HALF // 2}-"]


def test_what_an_earlier_process_received_is_not_requested_again(server, file, path):
    path.parent.mkdir()
    path.with_name("weights.h5.part").write_bytes(CONTENT[:1000])
    fetch(file, ignore)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_host_without_ranges_sends_all_of_it_again(server, file):
    server.knows_ranges, server.breaks = False, 1
    fetch(file, ignore)
    assert file.path.read_bytes() == CONTENT


def test_a_file_that_was_received_and_not_put_in_place_is(server, file, path):
    path.parent.mkdir()
    path.with_name("weights.h5.part").write_bytes(CONTENT)
    fetch(file, ignore)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_halves_are_not_put_together_without_a_digest(server, file, path):
    path.parent.mkdir()
    path.with_name("weights.h5.part").write_bytes(b"of another version")
    fetch(file._replace(digest=""), ignore)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [""]


def test_a_damaged_file_is_downloaded_once_more(server, file):
    server.damages = 1
    fetch(file, ignore)
    assert file.path.read_bytes() == CONTENT
    assert server.ranges == ["", ""]


def test_a_file_that_is_damaged_twice_is_refused(server, file, path):
    server.damages = 2
    with pytest.raises(OSError, match=r"^127.0.0.1: the file arrived damaged 2 times$"):
        fetch(file, ignore)
    assert not path.exists()


def test_a_damaged_file_that_is_cached_is_replaced(file, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT[:-1] + b"x")
    assert not file.is_here()
    fetch(file, ignore)
    assert path.read_bytes() == CONTENT


def test_several_that_need_a_file_download_it_once(server, file):
    server.go_on.clear()
    threads = [threading.Thread(target=fetch, args=(file, ignore)) for _ in range(4)]
    for thread in threads:
        thread.start()
    server.go_on.set()
    for thread in threads:
        thread.join()
    assert file.path.read_bytes() == CONTENT
    assert server.ranges == [""]


def test_a_host_that_refuses_is_known_at_once(path):
    with pytest.raises(OSError, match=r"^127.0.0.1: Connection refused$"):
        fetch(RemoteFile("VGG16", f"http://127.0.0.1:{free_port()}/", path, ""), ignore)


def test_a_host_that_cannot_be_resolved_is_known_at_once(path, monkeypatch):
    def resolve(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(OSError, match=r"^weights.example.org: Name or service not known$"):
        fetch(RemoteFile("VGG16", "https://weights.example.org/", path, ""), ignore)


def test_an_address_without_a_file_is_one_sentence(server, path):
    server.content = b""
    path.parent.mkdir()
    path.with_name("weights.h5.part").write_bytes(b"")
    with pytest.raises(NotDownloaded, match=r"The weights of VGG16 cannot be obtained: .* damaged 2 times") as raised:
        obtain(RemoteFile("VGG16", server.url, path, "0" * 32))
    assert "\n" not in str(raised.value)


@pytest.fixture
def silent():
    """A port whose queue of connections is full, so that it swallows the packets of every further one."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for connection in (first, second):
            connection.setblocking(False)
            connection.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("addresses", [1, 20])
def test_a_host_that_swallows_packets_gets_one_time_limit_for_all_its_addresses(silent, path, monkeypatch, addresses):
    resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", silent))] * addresses
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: asked.append(args) or resolved)
    with pytest.raises(OSError, match=r"^weights.example.org: no answer within 0.2 s$"):
        fetch(RemoteFile("VGG16", "http://weights.example.org/", path, ""), ignore, silence_s=0.2)
    assert len(asked) == 1


def test_a_name_service_that_does_not_answer_has_the_same_time_limit(path, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answers.wait() and [])
    try:
        with pytest.raises(OSError, match=r"no answer within 0.2 s"):
            fetch(RemoteFile("VGG16", "http://weights.example.org/", path, ""), ignore, silence_s=0.2)
    finally:
        answers.set()


def test_a_host_that_accepts_and_sends_nothing_has_it_as_well(server, file):
    server.content = b"x"  # whose first half is empty
    server.go_on.clear()
    with pytest.raises(OSError, match=r"^127.0.0.1: no answer within 0.2 s$"):
        fetch(file, ignore, silence_s=0.2)
    assert not file.path.exists()


def test_what_is_missing_reaches_another_process(file):
    error = pickle.loads(pickle.dumps(NotCached(file)))
    assert error.file == file
    assert str(error).startswith("The weights of VGG16 are not at ")
