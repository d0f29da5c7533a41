"""Every kind of store behaves alike, as do the results kept in it: a folder, memory, a real S3 server."""

import os
import socket
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from serving import free_port, run_together
from support.models import ToyModel
from support.pictures import picture
from support.sites import post
from support.waiting import SteppedClock, wait_until

from app import create_app
from classifier.errors import ResultNotFound, StartupError, Unavailable
from classifier.serving.engine import LocalEngine
from classifier.storage import object_store
from classifier.storage.feedback import Feedback
from classifier.storage.kept import KeptResults
from classifier.storage.object_store import FileSystem, open_store
from classifier.storage.stores import Folder, below
from web.settings import Settings

ANSWER = {"model": "toy", "predictions": [{"index": 0, "score": 0.5}]}
HOUR = 3600
ADDRESSES = ["folder", "file", "memory", "s3", "elsewhere"]


@pytest.fixture(scope="session")
def s3_server():
    """The address of an S3 server on this machine."""
    server = pytest.importorskip("moto.server", reason="no moto here (pip install 'moto[server]')")
    pytest.importorskip("s3fs", reason="no s3fs here (pip install -e '.[s3]')")
    running = server.ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    running.start()
    yield "http://{}:{}".format(*running.get_host_and_port())
    running.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """An empty prefix on that server, found through the usual variables."""
    import s3fs

    use_s3(monkeypatch, s3_server)
    s3fs.S3FileSystem(skip_instance_cache=True).makedirs("photos", exist_ok=True)
    return f"s3://photos/{uuid4()}"


def use_s3(monkeypatch, endpoint):
    for name, value in {
        "ENDPOINT_URL": endpoint, "ACCESS_KEY_ID": "someone", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AWS_{name}", value)


@pytest.fixture(params=ADDRESSES)
def place(request, tmp_path):
    """The place of a store; every opening is like one by another machine."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    if request.param == "memory":
        from fsspec.implementations.memory import MemoryFileSystem

        MemoryFileSystem.store.clear()
    return {
        "folder": tmp_path / "kept",
        "file": f"file://{tmp_path}/kept",
        "memory": "memory://kept",
        "elsewhere": f"elsewhere://{tmp_path}/kept",
    }[request.param]


@pytest.fixture
def open_it(place):
    """Open the store at the place; `elsewhere` is a file system that exposes partial writes, like SFTP."""

    def open_it():
        if not str(place).startswith("elsewhere"):
            return open_store(place)
        from fsspec.implementations.local import LocalFileSystem

        return FileSystem(LocalFileSystem(skip_instance_cache=True), place.partition("://")[2])

    return open_it


@pytest.fixture
def store(open_it):
    return open_it()


def age(place, id, hours):
    """Make a result older."""
    then, address = time.time() - hours * HOUR, str(place)
    if address.startswith("s3"):
        from moto.s3.models import s3_backends

        for key in s3_backends["123456789012"]["aws"].buckets["photos"].keys.values():
            if id in key.name:
                key.last_modified = datetime.fromtimestamp(then, UTC)
    elif address.startswith("memory"):
        from fsspec.implementations.memory import MemoryFileSystem

        for name, file in MemoryFileSystem.store.items():
            if id in name:
                file.created = datetime.fromtimestamp(then, UTC)
    else:
        for name in os.listdir(folder := address.rpartition("://")[2]):
            if id in name:
                os.utime(os.path.join(folder, name), (then, then))


def names(store):
    return sorted(entry.name for entry in store.entries())


def test_what_is_written_is_there_for_all(open_it):
    store, other = open_it(), open_it()
    store.write("a", b"first")
    store.write("a", b"second")
    store.write("b", b"")
    assert (other.read("a"), other.read("b")) == (b"second", b"")
    assert names(other) == ["a", "b"]
    assert other.entry("a").size == 6


def test_what_is_created_replaces_nothing(open_it):
    open_it().create("a", b"first")
    with pytest.raises(FileExistsError):
        open_it().create("a", b"second")
    assert open_it().read("a") == b"first"
    assert names(open_it()) == ["a"]


def test_all_who_share_a_store_have_one_key(open_it):
    keys = []
    run_together(threading.Thread(target=lambda: keys.append(KeptResults(open_it()).key())) for _ in range(2))
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert KeptResults(open_it()).ids() == []


def test_answers_that_are_gone_are_left_out(open_it):
    uploads = KeptResults(open_it())
    ids = [uploads.keep(b"jpeg", ANSWER | {"number": number}) for number in range(3)]
    uploads.delete(ids[1])
    found = KeptResults(open_it()).answers([ids[2], "../x", ids[1], ids[0]])
    assert [(id, answer["number"]) for id, answer in found.items()] == [(ids[2], 2), (ids[0], 0)]


def test_a_store_knows_when(store):
    before = time.time()
    store.write("a", b"x")
    (listed,) = store.entries()
    for entry in (listed, store.entry("a")):
        assert entry.name == "a"
        assert before - 2 <= entry.written <= time.time() + 2


def test_what_is_not_there(store):
    assert names(store) == []
    for look in (store.read, store.entry):
        with pytest.raises(FileNotFoundError):
            look("a")
    store.delete(["a", "b"])


def test_deleting_many_at_once(store):
    for i in range(30):
        store.write(str(i), b"x")
    store.delete(str(i) for i in range(40) if i != 7)
    assert names(store) == ["7"]


def test_what_lies_deeper_is_another_store(place, open_it):
    store = open_it()
    store.write("a", b"x")
    if not str(place).startswith("elsewhere"):
        deeper = open_store(below(place, "feedback"))
        deeper.write("b", b"y")
        assert names(deeper) == ["b"]
    assert names(store) == ["a"]


def test_readers_see_all_of_a_document_or_none_of_it(open_it):
    """One thread writes two documents in turn, four threads read."""
    writer, seen = open_it(), set()
    writer.write("a", b"0" * 50_000)
    done = threading.Event()

    def read():
        store = open_it()
        while not done.is_set():
            seen.add(store.read("a"))

    def write():
        for i in range(20):
            writer.write("a", str(i % 2).encode() * 50_000)
        done.set()

    run_together([*(threading.Thread(target=read) for _ in range(4)), threading.Thread(target=write)], timeout_s=60)
    assert seen <= {b"0" * 50_000, b"1" * 50_000}


def test_a_result_is_there_for_every_machine(open_it):
    id = KeptResults(open_it()).keep(b"jpeg", ANSWER)
    other = KeptResults(open_it())
    assert other.answer(id) == ANSWER
    assert other.picture(id) == b"jpeg"
    assert other.ids() == [id]
    other.delete(id)
    for look in (other.answer, other.picture, other.delete):
        with pytest.raises(ResultNotFound):
            look(id)
    assert names(open_it()) == []


@pytest.mark.parametrize("id", ["0" * 32, "", "x", "../" + "0" * 32, "0" * 31 + "G", "0" * 32 + "\n", "*" * 32])
def test_what_is_not_there_is_not_found(store, id):
    uploads = KeptResults(store)
    for look in (uploads.answer, uploads.picture, uploads.delete):
        with pytest.raises(ResultNotFound):
            look(id)


def test_results_expire_however_late_they_are_amended(place, store):
    uploads = KeptResults(store, keep_hours=24)
    old, young = uploads.keep(b"old", ANSWER), uploads.keep(b"young", ANSWER)
    age(place, old, 25)
    age(place, young, 23)
    KeptResults(store, keep_hours=26).amend(old, {"feedback": {"label": "cat"}})
    assert uploads.amend(young, {"sure": True}) == ANSWER | {"sure": True}
    assert uploads.answer(young) == ANSWER | {"sure": True}
    with pytest.raises(ResultNotFound):
        uploads.answer(old)
    uploads.sweep()
    assert names(store) == [f"{young}.jpg", f"{young}.json"]


def test_several_machines_make_room_at_the_same_time_and_the_youngest_stay(place, open_it):
    kept = []
    for i in range(10):
        kept.append(KeptResults(open_it(), keep_mb=100).keep(bytes(100_000), ANSWER))
        age(place, kept[-1], 1 - i / 100)
    sweeps = [KeptResults(open_it(), keep_mb=0.5).sweep for _ in range(4)]
    run_together([threading.Thread(target=sweep) for sweep in sweeps], timeout_s=60)
    left = KeptResults(open_it()).ids()
    assert len(left) == 4  # 0.9 of 0.5 MiB, of 0.1 MB each
    assert left == kept[-len(left) :]


def test_a_sweep_leaves_alone_what_is_not_ours_and_takes_what_a_crash_left(place, store):
    uploads = KeptResults(store)
    uploads.keep(b"jpeg", ANSWER)
    for name in ("README.md", "f" * 32 + ".json"):
        store.write(name, b"x")
        age(place, name, 25)
    uploads.sweep()
    assert len(names(store)) == 3
    assert "README.md" in names(store)


def test_a_full_remote_store_is_swept_beside_the_requests(s3):
    uploads = KeptResults(s3, keep_mb=0.5)
    uploads.start_sweeping()
    kept = [uploads.keep(bytes(100_000), ANSWER) for _ in range(8)]
    wait_until(lambda: len(uploads.ids()) <= 5, 30)
    uploads.close()
    assert set(uploads.ids()) <= set(kept)
    assert len(uploads.ids()) <= 5


def test_what_is_kept_during_a_sweep_counts(tmp_path, monkeypatch):
    uploads, entries = KeptResults(tmp_path), Folder.entries

    def listed(store):
        found = [*entries(store)]
        uploads.keep(bytes(1000), ANSWER)
        return found

    monkeypatch.setattr(Folder, "entries", listed)
    uploads.sweep()
    assert uploads.usage()[0] == 1
    assert uploads.usage()[1] > 1000


@pytest.fixture
def unreachable(monkeypatch):
    """The place of an S3 server that is not there."""
    use_s3(monkeypatch, f"http://127.0.0.1:{free_port()}")
    return "s3://photos/kept"


@pytest.fixture
def silent(monkeypatch):
    """The place of an S3 server that accepts connections and never responds."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        use_s3(monkeypatch, "http://127.0.0.1:{}".format(*server.getsockname()[1:]))
        yield "s3://photos/kept"


def test_gone_and_out_of_reach_are_two_things(unreachable):
    uploads = KeptResults(unreachable)
    for look in (uploads.answer, uploads.picture, uploads.delete, uploads.discard):
        with pytest.raises(Unavailable, match="cannot be read at the moment"):
            look("0" * 32)
    for try_it in (uploads.ids, uploads.sweep, lambda: uploads.keep(b"jpeg", ANSWER)):
        with pytest.raises(OSError, match="store"):
            try_it()


def test_a_silent_store_is_given_up_soon_and_then_not_waited_for(silent, monkeypatch):
    monkeypatch.setattr(object_store, "TIMEOUT_S", 0.5)
    uploads = KeptResults(silent)
    started = time.monotonic()
    with pytest.raises(OSError, match=r"^The store cannot be reached: \w"):
        uploads.keep(b"jpeg", ANSWER)
    first = time.monotonic() - started
    for _ in range(100):
        with pytest.raises(OSError, match="a moment ago"):
            uploads.keep(b"jpeg", ANSWER)
    assert first < 5
    assert time.monotonic() - started - first < 5


def test_a_store_that_is_back_is_used_again(s3, monkeypatch):
    fs, root = object_store.opened(s3)
    clock = SteppedClock()
    store = FileSystem(fs, root, clock)
    with monkeypatch.context() as patch:
        patch.setattr(fs, "_pipe_file", broken_connection)  # what fsspec has its file systems override
        with pytest.raises(OSError, match="reset"):
            store.write("a", b"x")
    with pytest.raises(OSError, match="a moment ago"):
        store.write("a", b"x")
    clock.step(object_store.DOWN_S)
    store.write("a", b"x")
    assert store.read("a") == b"x"


async def broken_connection(*_, **__):
    raise ConnectionResetError("reset")


def test_a_bucket_that_is_not_there_keeps_nothing(s3):
    with pytest.raises(OSError, match="bucket"):
        KeptResults("s3://elsewhere/kept").keep(b"jpeg", ANSWER)


@pytest.fixture
def make_site(request):
    """Web machines that share a place."""

    def make(place):
        settings = Settings(uploads=place)
        engine = LocalEngine(ToyModel())
        request.addfinalizer(engine.close)
        return create_app(engine, settings, KeptResults(place)).test_client()

    return make


def test_any_machine_shows_amends_and_deletes_any_result(s3, make_site):
    one, other = make_site(s3), make_site(s3)
    result = post(one, picture("lime"), json=True).json["results"][0]
    assert "Egyptian cat" in other.get(result["url"]).get_data(as_text=True)
    assert other.get(result["url"] + "/image").mimetype == "image/jpeg"
    assert other.get(result["url"] + "/why?class=1").mimetype == "image/png"
    other.post(result["url"] + "/feedback", data={"right": "no", "label": "lynx", "keep": "on"})
    assert "lynx" in one.get(result["url"]).get_data(as_text=True)
    assert [label for _, label, _ in Feedback(KeptResults(s3), s3, 1).labelled()] == ["lynx", "lynx"]
    assert one.delete(result["url"]).status_code == 204
    assert other.get(result["url"]).status_code == 404
    assert list(Feedback(KeptResults(s3), s3, 1).labelled()) == []


def test_when_the_store_is_down_answers_are_given_and_results_are_503(unreachable, make_site):
    client = make_site(unreachable)
    answer = post(client, picture("lime"), json=True)
    assert answer.status_code == 200
    assert "could not be kept" in answer.json["results"][0]["notice"]
    address = "/results/" + "0" * 32
    for response in (
        client.get(address),
        client.get(address + "/image"),
        client.delete(address),
        client.post(address + "/feedback", data={"right": "yes"}),
    ):
        assert response.status_code == 503
        assert "Retry-After" in response.headers
        assert "cannot be read at the moment" in response.get_data(as_text=True)


def test_feedback_that_cannot_be_kept_is_told(tmp_path, make_site, monkeypatch):
    client = make_site(tmp_path / "kept")
    result = post(client, picture("lime"), json=True).json["results"][0]
    monkeypatch.setattr(Folder, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    response = client.post(result["url"] + "/feedback", data={"right": "yes"})
    assert response.status_code == 503
    assert "could not be kept" in response.get_data(as_text=True)


def test_without_s3fs_the_way_to_it_is_told(monkeypatch):
    import fsspec

    monkeypatch.setattr(fsspec, "url_to_fs", lambda *_, **__: (_ for _ in ()).throw(ImportError("Install s3fs")))
    with pytest.raises(StartupError, match=r"^s3://photos cannot be opened: this needs the extra `s3`: .*pip install"):
        open_store("s3://photos")


def test_an_address_of_no_known_kind_is_told():
    with pytest.raises(StartupError, match=r"^nope://photos cannot be opened: Protocol not known: nope"):
        open_store("nope://photos")


def test_the_setting_takes_addresses_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, read in {"s3://photos/kept": "s3://photos/kept", "kept": tmp_path / "kept"}.items():
        assert Settings.from_environ({"CLASSIFIER_UPLOADS": given}).uploads == read
