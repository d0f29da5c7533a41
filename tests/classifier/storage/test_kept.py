"""Kept results are complete, bounded, and removed in time."""

import os
import threading
import time
from contextlib import suppress

import pytest
from serving import run_together
from support.waiting import wait_until

from classifier.errors import ResultNotFound
from classifier.storage.kept import KeptResults

ANSWER = {"model": "toy", "predictions": [{"index": 0, "score": 0.5}]}
HOUR = 3600
SOON = 10  # seconds; only a broken store ever takes so long


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "uploads"


def age(folder, id, hours):
    then = time.time() - hours * HOUR
    for path in folder.glob(f"{id}.*"):
        os.utime(path, (then, then))


def ids(folder):
    return {path.stem for path in folder.glob("*.json")}


def size(folder):
    return sum(path.stat().st_size for path in folder.iterdir())


def test_what_is_kept_comes_back(folder):
    uploads = KeptResults(folder)
    id = uploads.keep(b"jpeg", ANSWER)
    assert uploads.answer(id) == ANSWER
    assert uploads.picture(id) == b"jpeg"
    assert sorted(path.name for path in folder.iterdir()) == [f"{id}.jpg", f"{id}.json"]


def test_ids_are_128_random_bits(folder):
    uploads = KeptResults(folder)
    kept = {uploads.keep(b"", ANSWER) for _ in range(50)}
    assert len(kept) == 50
    assert all(len(bytes.fromhex(id)) == 16 for id in kept)


def test_another_process_sees_the_same_results(folder):
    id = KeptResults(folder).keep(b"jpeg", ANSWER)
    assert KeptResults(folder).answer(id) == ANSWER


@pytest.mark.parametrize("id", ["0" * 32, "", "x", "../" + "0" * 32, "0" * 31 + "G", "0" * 32 + "\n", "\0" * 32])
def test_what_is_not_there_is_not_found(folder, id):
    uploads = KeptResults(folder)
    for look in (uploads.answer, uploads.picture, uploads.delete):
        with pytest.raises(ResultNotFound):
            look(id)


def test_an_expired_result_is_gone_at_once_and_swept_later(folder):
    uploads = KeptResults(folder, keep_hours=24)
    old, young = uploads.keep(b"old", ANSWER), uploads.keep(b"young", ANSWER)
    age(folder, old, 25)
    age(folder, young, 23)
    with pytest.raises(ResultNotFound):
        uploads.picture(old)
    uploads.sweep()
    assert ids(folder) == {young}
    assert not list(folder.glob(f"{old}*"))


def test_too_much_is_made_room_for_oldest_first(folder):
    uploads = KeptResults(folder, keep_mb=1)
    kept = []
    for i in range(12):
        kept.append(uploads.keep(bytes(100_000), ANSWER))
        age(folder, kept[-1], 1 - i / 100)
        assert size(folder) <= 2**20
    assert ids(folder) == set(kept[-len(ids(folder)) :])
    assert len(ids(folder)) >= 8


def test_results_of_an_earlier_run_count_too(folder):
    for _ in range(8):
        KeptResults(folder, keep_mb=100).keep(bytes(100_000), ANSWER)
    uploads = KeptResults(folder, keep_mb=0.5)
    uploads.sweep()
    assert size(folder) <= 2**19


def test_a_sweep_leaves_other_files_alone_and_takes_what_a_crash_left(folder):
    uploads = KeptResults(folder)
    uploads.keep(b"jpeg", ANSWER)
    (folder / "README.md").touch()
    half_written = folder / ("f" * 32 + ".jpg.part")
    half_written.touch()
    for path in (folder / "README.md", half_written):
        os.utime(path, (0, 0))
    uploads.sweep()
    assert (folder / "README.md").exists()
    assert not half_written.exists()
    assert len(ids(folder)) == 1


def test_a_failed_write_leaves_nothing(folder, monkeypatch):
    uploads = KeptResults(folder)
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        uploads.keep(b"jpeg", ANSWER)
    assert list(folder.iterdir()) == []


def test_many_threads_keep_read_and_delete_side_by_side(folder):
    uploads = KeptResults(folder, keep_mb=1)
    failures = []

    def work():
        try:
            for i in range(20):
                id = uploads.keep(bytes(20_000), ANSWER)
                with suppress(ResultNotFound):  # another thread's sweep may have made room
                    assert uploads.answer(id) == ANSWER
                    assert len(uploads.picture(id)) == 20_000
                    if i % 3 == 0:
                        uploads.delete(id)
        except Exception as exc:
            failures.append(exc)

    run_together(threading.Thread(target=work) for _ in range(8))
    assert failures == []
    uploads.sweep()
    assert size(folder) <= 2**20


def test_the_background_sweep_starts_at_once_and_ends_with_close(folder):
    uploads = KeptResults(folder)
    old = uploads.keep(b"old", ANSWER)
    age(folder, old, 25)
    others = threading.enumerate()
    uploads.start_sweeping()
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "uploads-sweep" and thread not in others]
    wait_until(lambda: ids(folder) == set(), SOON)
    uploads.close()
    thread.join(SOON)
    assert not thread.is_alive()


def test_where_nothing_is_kept_any_more_the_first_sweep_takes_what_was(folder):
    KeptResults(folder).keep(b"old", ANSWER)
    uploads = KeptResults(folder, keep_hours=0)
    uploads.sweep()
    assert list(folder.iterdir()) == []


def test_sweeping_a_folder_that_is_not_there_yet_is_fine(folder):
    KeptResults(folder).sweep()
    assert not folder.exists()
