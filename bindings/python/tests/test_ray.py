"""A job on a local Ray: the same rows as by processes, also when a worker is killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from test_many import items_of, killer, needs_kill, photos_of, png, rows, stamps

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# Ray lets workers go behind everything else on the machine.
os.environ.setdefault("RAY_worker_niceness", "0")
pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray")

import native_model  # noqa: E402
import omniid  # noqa: E402
from omniid import many  # noqa: E402
from omniid.ray import encode_on_ray  # noqa: E402


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path):
    root = photos_of(tmp_path / "photos", 60)
    (root / "person 007" / "0.png").write_bytes(b"broken")
    (root / "person 009" / "0.png").write_bytes(png(9)[:60])
    (root / "person 009" / "1.png").unlink()
    return root


@needs_kill
def test_a_killed_worker_loses_and_doubles_nothing(cluster, folder, model_path, tmp_path):
    items = items_of(folder)
    expected = many.encode_many(many.Job(str(tmp_path / "processes"), str(model_path)), items, 2, people=4)
    killed, seen = [], []
    out = tmp_path / "ray"
    thread = killer(out, killed)
    job = many.Job(str(out), str(model_path))
    found = encode_on_ray(job, items, 2, people=2, progress=lambda done, *_: seen.append(done))
    thread.join()
    assert killed and seen[-1] == 60
    found.seconds = expected.seconds = 0
    assert found == expected and (found.people, found.failed, found.photos) == (59, 1, 117)
    theirs = rows(tmp_path / "processes")
    for person, row in rows(out).items():
        other = theirs.pop(person)
        assert (row.used, row.error, row.report) == (other.used, other.error, other.report)
        assert (row.tokens is None) == (other.tokens is None)
        assert row.tokens is None or (row.tokens == other.tokens).all()
    assert not theirs


def test_what_is_done_is_not_done_again(cluster, folder, model_path, tmp_path):
    job = many.Job(str(tmp_path / "out"), str(model_path))
    items = items_of(folder)
    many.encode_many(job, items[:20], 1, people=10)
    before = stamps(tmp_path / "out")
    assert encode_on_ray(job, items, 1, people=10).people == 59
    assert before.items() < stamps(tmp_path / "out").items() and len(rows(tmp_path / "out")) == 60


def test_errors_of_workers_are_ours(cluster, folder, model_path, tmp_path):
    items = items_of(folder)[:2]
    encode_on_ray(many.Job(str(tmp_path / "out"), str(model_path)), items[:1], 1)
    other = native_model.write(tmp_path / "other.safetensors", seed=8)
    with pytest.raises(omniid.MismatchError, match="another folder"):
        encode_on_ray(many.Job(str(tmp_path / "out"), str(other)), items, 1)
    with pytest.raises(omniid.IoError, match="nowhere"):
        encode_on_ray(many.Job(str(tmp_path / "new"), "nowhere.safetensors"), items, 1)


@needs_kill
def test_workers_that_die_at_the_start_end_the_job(cluster, folder, tmp_path):
    class Dying(many.Job):
        def open_engine(self, threads):
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(omniid.InternalError, match="died before their engine was open"):
        encode_on_ray(Dying(str(tmp_path / "out")), items_of(folder)[:2], 1)
    assert not list((tmp_path / "out").glob("people-*"))


def test_a_cluster_that_is_not_there_is_named_soon(folder, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        begun = time.monotonic()
        program = (
            "import sys; from omniid.many.__main__ import main; "
            f"sys.exit(main([{str(folder)!r}, '--out', {str(tmp_path / 'out')!r}, '--ray', {address!r}]))"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and f"no Ray cluster at {address}" in done.stderr, done.stderr
    assert time.monotonic() - begun < 60
