"""kernel/locks.py: who waits for whom, and that a lock is never on a file that has been removed."""

from __future__ import annotations

import os
import threading

import pytest

from mydocker.errors import Conflict
from mydocker.kernel.locks import DIRECTORY, FILE, Lock


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "lock")


def test_a_wait_has_a_bound_and_its_error_names_the_holder(path):
    with Lock(path), pytest.raises(Conflict, match="has been locked") as caught:
        Lock(path, wait=0.05)
    assert f"by process {os.getpid()} (" in caught.value.message
    Lock(path).release()


@pytest.mark.parametrize("wait", [5, None])
def test_a_wait_ends_with_the_lock(path, wait):
    held = Lock(path)
    timer = threading.Timer(0.05, held.release)
    timer.start()
    Lock(path, wait=wait).release()
    timer.join()


def test_without_a_wait_a_held_lock_is_an_error(path):
    with Lock(path), pytest.raises(BlockingIOError):
        Lock(path, wait=0)


def test_shared_locks_keep_out_only_others(path):
    with Lock(path, shared=True), Lock(path, shared=True, wait=0), pytest.raises(BlockingIOError):
        Lock(path, wait=0)


def test_a_file_is_made_only_if_that_is_asked_for(path):
    with pytest.raises(FileNotFoundError):
        Lock(path, FILE)
    Lock(path).release()
    Lock(path, FILE).release()


def test_a_directory(tmp_path, path):
    with Lock(str(tmp_path), DIRECTORY), pytest.raises(BlockingIOError):
        Lock(str(tmp_path), DIRECTORY, wait=0)
    Lock(path).release()
    with pytest.raises(NotADirectoryError):
        Lock(path, DIRECTORY)


def test_the_lock_is_on_the_file_that_has_the_name(path):
    """The holder replaces the file while another process waits for the lock on it."""
    held = Lock(path)

    def replace():
        os.unlink(path)
        held.release()

    timer = threading.Timer(0.05, replace)
    timer.start()
    with Lock(path, wait=5) as lock:
        assert os.fstat(lock.descriptor).st_ino == os.stat(path).st_ino
    timer.join()


def test_no_descriptor_is_left_open(path):
    before = os.listdir("/proc/self/fd")
    with Lock(path), pytest.raises(BlockingIOError):
        Lock(path, wait=0)
    assert os.listdir("/proc/self/fd") == before
