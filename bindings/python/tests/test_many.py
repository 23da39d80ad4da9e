"""Jobs over many people: every source, resumption, workers that die, bad input, and the numbers of `Engine.encode`."""

import csv
import dataclasses
import functools
import http.server
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import time

import native_model
import numpy as np
import pytest
from conftest import ROOT

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("PIL")

import omniid  # noqa: E402
from omniid import many  # noqa: E402
from omniid.many import encode, output, reading, sources  # noqa: E402
from omniid.many.__main__ import main  # noqa: E402
from PIL import Image  # noqa: E402


def png(seed, size=56):
    buffer = io.BytesIO()
    Image.fromarray(native_model.picture(seed, size, size)).save(buffer, "PNG")
    return buffer.getvalue()


def photos_of(root, people, photos=lambda person: 2):
    """Folders `person 000` and so on."""
    for person in range(people):
        place = root / f"person {person:03d}"
        place.mkdir(parents=True)
        for number in range(photos(person)):
            (place / f"{number}.png").write_bytes(png(10 * person + number))
    return root


@pytest.fixture
def folder(tmp_path):
    """Seven people with one to three photos; one has a broken file besides, another nothing but that."""
    root = photos_of(tmp_path / "photos", 7, lambda person: person % 3 + 1)
    (root / "person 005" / "broken.png").write_bytes(png(1)[:100])
    (root / "nobody").mkdir()
    (root / "nobody" / "a.jpg").write_bytes(b"no picture")
    (root / "empty").mkdir()
    (root / ".hidden").mkdir()
    return root


def items_of(*sources):
    """The people of sources in which nothing is left out."""
    return many.items_of(sources, lambda what, why: pytest.fail(f"{what}: {why}"))


def rows(out):
    """All people; fails when one is there twice."""
    found = {}
    for row in many.read(str(out)):
        assert row.person not in found, f"{row.person} is there twice"
        found[row.person] = row
    return found


def stamps(out):
    return {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}


def test_tokens_are_those_of_the_engine(folder, model_path, tmp_path, monkeypatch, capsys):
    problems = []
    items = many.items_of([folder], lambda what, why: problems.append((what, why)))
    assert problems == [(str(folder / "empty"), "no photo in the folder")] and len(items) == 8
    seen = []
    job = many.Job(str(tmp_path / "out"), str(model_path), tokens="float32", omniid_files=True)
    summary = many.encode_many(job, items, 2, people=3, progress=lambda done, total, _: seen.append((done, total)))
    assert len(seen) == 3 and seen[-1] == (8, 8) and seen == sorted(seen)
    assert len(stamps(tmp_path / "out")) == 3
    assert (summary.people, summary.failed, summary.photos) == (7, 1, 13)
    assert summary.left_out == {"format": 2} and summary.failures == {"format": 1}
    found = rows(tmp_path / "out")
    with omniid.Engine.open(model_path) as engine:
        for person in range(7):
            row = found[f"person {person:03d}"]
            photos = [folder / row.person / f"{number}.png" for number in range(person % 3 + 1)]
            identity = engine.encode(photos).identity
            assert np.array_equal(row.tokens, identity.tokens().numpy())
            assert row.used == len(photos) and row.error is None and row.fingerprint == engine.info.fingerprint
            saved = omniid.Identity.load(tmp_path / "out" / "_identities" / f"{row.person}.omniid")
            assert np.array_equal(saved.tokens().numpy(), row.tokens) and saved.info.label == row.person
    assert len(list((tmp_path / "out" / "_identities").iterdir())) == 7
    # The program of the page.
    (program,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "scale.md").read_text("utf-8"), re.M | re.S)
    # The whole folder is one data set to Arrow, and so to pandas.
    assert parquet.read_table(tmp_path / "out").num_rows == len(rows(tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "identities")
    monkeypatch.chdir(tmp_path)
    exec(program, {})  # our own page
    assert "person 006 (6, 24)" in capsys.readouterr().out
    (tmp_path / "identities").rename(tmp_path / "out")
    assert found["nobody"].tokens is None and found["nobody"].error
    (broken,) = [photo for photo in found["person 005"].report if not photo["used"]]
    assert broken["photo"].endswith("broken.png") and broken["reason"] == "format" and broken["message"]


def test_half_precision_and_most_photos(folder, model_path, tmp_path):
    items = items_of(photos_of(tmp_path / "others", 2, lambda person: 4))
    job = many.Job(str(tmp_path / "out"), str(model_path), most_photos=3)
    summary = many.encode_many(job, items, 1)
    assert summary.photos == 6 and summary.left_out == {"more than most_photos": 2}
    with omniid.Engine.open(model_path) as engine:
        for item in items:
            row = rows(tmp_path / "out")[item.person]
            expected = engine.encode([photo.place for photo in item.photos[:3]]).identity.tokens().numpy()
            assert row.tokens.dtype == np.float16 and row.photos == 4
            assert np.array_equal(row.tokens, expected.astype(np.float16))


def test_a_job_goes_on_where_it_was(tmp_path, model_path):
    root, out = photos_of(tmp_path / "photos", 6), tmp_path / "out"
    job = many.Job(str(out), str(model_path))
    many.encode_many(job, items_of(root)[:4], 1, people=2)
    before = stamps(out)
    (out / ".people-0.parquet.1.tmp").write_text("of a worker that was killed")
    seen = []
    many.encode_many(job, items_of(root), 1, people=2, progress=lambda done, *_: seen.append(done))
    assert seen == [6] and before.items() < stamps(out).items() and len(rows(out)) == 6
    assert not list(out.glob(".people-*")) and not list(out.glob(".attempts-*"))
    # One more person, and one with another photo: nobody else is done again.
    (root / "person 000" / "9.png").write_bytes(png(77))
    (root / "a new person").mkdir()
    (root / "a new person" / "0.png").write_bytes(png(78))
    seen.clear()
    summary = many.encode_many(job, items_of(root), 1, people=64, progress=lambda done, *_: seen.append(done))
    assert seen == [7] and summary.people == 7 and summary.photos == 14
    assert len(rows(out)) == 7 and rows(out)["person 000"].used == 3
    assert many.encode_many(job, items_of(root), 1).seconds == 0


def test_people_who_are_missing_or_twice_are_noticed(tmp_path, model_path):
    items, out = items_of(photos_of(tmp_path / "photos", 2)), tmp_path / "out"
    job = many.Job(str(out), str(model_path))
    many.encode_many(job, items[:1], 1)
    with pytest.raises(omniid.InternalError, match="1 people are not there, 0 twice"):
        many.summarise(str(out), items)
    (path,) = out.glob("*.parquet")
    path.with_name("people-another.parquet").write_bytes(path.read_bytes())
    with pytest.raises(omniid.InternalError, match="0 people are not there, 1 twice"):
        many.summarise(str(out), items[:1])
    # The next job takes one of the two out.
    assert many.encode_many(job, items, 1).people == 2 and len(rows(out)) == 2


def test_retry_does_the_failed_again(folder, model_path, tmp_path):
    out = tmp_path / "out"
    job = many.Job(str(out), str(model_path))
    items = many.items_of([folder], lambda *_: None)
    assert many.encode_many(job, items, 1, people=3).failed == 1
    (folder / "nobody" / "a.jpg").write_bytes(png(5))
    assert many.encode_many(job, items, 1).failed == 1  # what is done is done
    summary = many.encode_many(job, items, 1, retry=True)
    assert summary.failed == 0 and summary.people == 8 and len(rows(out)) == 8


@pytest.fixture
def server(folder):
    """A web server whose first answer to `/later/` is that it is busy, and whose answer to `/short` breaks off."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/later/"):
                if asked.count(self.path) == 1:
                    return self.send_error(503)
                self.path = self.path.removeprefix("/later")
            if self.path == "/short":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                return self.wfile.write(b"little")
            return super().do_GET()

        def log_message(self, *_):
            pass

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.shutdown()
    found.server_close()


def add(archive, name, data):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def test_tables_shards_and_addresses(folder, server, model_path, tmp_path, capsys):
    with open(tmp_path / "table.csv", "w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "photo", "more"])
        writer.writerow(["far", f"{server}/person%20002/0.png", 1])
        writer.writerow(["near", "photos/person 001/0.png", 1])
        writer.writerow(["far", f"{server}/later/person%20002/1.png", 1])
        writer.writerow(["far", f"{server}/missing.png", 1])
        writer.writerow(["far", f"{server}/short", 1])
        writer.writerow(["far", "https://localhost:1/x y.png", 1])
        writer.writerow(["", "photos/person 001/0.png", 1])
    photos = [folder / "person 002" / f"{number}.png" for number in range(2)]
    with tarfile.open(tmp_path / "people.tar", "w") as archive:
        for number, photo in enumerate(photos):
            add(archive, f"sharded%2Eone.{number:04d}.png", photo.read_bytes())
            add(archive, f"sharded%2Eone.{number:04d}.json", b"{}")
            add(archive, f"by folder/{number:04d}.png", photo.read_bytes())
    table = pyarrow.table({"person": [7], "photo": [[f"file://{photo}".replace(" ", "%20") for photo in photos]]})
    parquet.write_table(table, tmp_path / "table.parquet")
    (tmp_path / "table.jsonl").write_text(
        "".join(json.dumps({"person": "line", "photo": str(photo)}) + "\n" for photo in photos)
    )
    out = tmp_path / "out"
    names = ("table.csv", "people.tar", "table.parquet", "table.jsonl")
    code = main([*(str(tmp_path / name) for name in names), "--out", str(out), "-c", str(model_path), "--workers", "1",
                 "--json"])  # fmt: skip
    found = rows(out)
    assert code == 0 and set(found) == {"far", "near", "sharded.one", "by folder", "7", "line"}
    for person in ("sharded.one", "by folder", "7", "line"):
        assert np.array_equal(found["far"].tokens, found[person].tokens), person
    missing, short, bad = [photo for photo in found["far"].report if not photo["used"]]
    assert "404" in missing["message"] and "994 bytes before its end" in short["message"] and bad["reason"] == "io"
    captured = capsys.readouterr()
    counts = json.loads(captured.out)
    assert counts["people"] == 6 and counts["left_out"] == {"io": 3}
    assert counts["sources"] == {"a row without a person or without a photo": 1}
    assert "row 7" in captured.err and "6 of 6 people" in captured.err


def at_work(out):
    """Process ids of the workers that are at a person."""
    found = []
    for path in out.glob(".attempts-*"):
        try:
            found.append(json.loads(path.read_text())["pid"])
        except (OSError, ValueError, KeyError):
            continue  # written or removed at this moment
    return found


def killer(out, killed):
    """A thread that kills a worker with -9 while it is at a person, as soon as two files are there."""

    def kill():
        deadline = time.monotonic() + 120
        while not killed and time.monotonic() < deadline:
            time.sleep(0.002)
            if len(list(out.glob("*.parquet"))) >= 2:
                for pid in at_work(out)[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")


@needs_kill
def test_a_worker_that_is_killed_loses_and_doubles_nothing(model_path, tmp_path):
    items = items_of(photos_of(tmp_path / "photos", 40))
    killed = []
    thread = killer(tmp_path / "out", killed)
    summary = many.encode_many(many.Job(str(tmp_path / "out"), str(model_path)), items, 2, people=2)
    thread.join()
    assert killed and (summary.people, summary.failed, summary.photos) == (40, 0, 80)
    assert len(rows(tmp_path / "out")) == 40 and not list((tmp_path / "out").glob(".people-*"))


@needs_kill
def test_a_program_that_is_killed_goes_on(model_path, tmp_path):
    photos_of(tmp_path / "photos", 30)
    out = tmp_path / "out"
    arguments = [str(tmp_path / "photos"), "--out", str(out), "-c", str(model_path), "--people", "1", "--workers", "2"]
    program = subprocess.Popen([sys.executable, "-m", "omniid.many", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while len(list(out.glob("*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    program.kill()
    program.wait()
    # Its workers may be at a person still; what they write is of no harm.
    assert main(arguments) == 0
    time.sleep(0.3)
    assert len(rows(out)) == 30
    with pytest.raises(omniid.CancelledError, match="another run"):
        output.write_chunk(many.Job(str(out), run="an earlier one"), many.Chunk(()), [], "")


def test_a_person_at_whom_workers_die_is_left_out(model_path, tmp_path):
    """As after three deaths at the second of three people, of which the note in the folder tells."""
    items = items_of(photos_of(tmp_path / "photos", 3))
    (chunk,) = many.chunks_of(items)
    job = many.Job(str(tmp_path))
    (tmp_path / f".attempts-{chunk.name}").write_text(json.dumps({"at": 1, "deaths": {"1": 2, "0": 1}}))
    with omniid.Engine.open(model_path) as engine:
        summary = encode.encode_chunk(engine, job, chunk)
        assert summary == encode.encode_chunk(engine, job, chunk)  # it is there
    assert (summary.people, summary.failures, summary.left_out) == (2, {"worker died": 1}, {"worker died": 2})
    assert "3 workers died" in rows(tmp_path)["person 001"].error
    assert not list(tmp_path.glob(".attempts-*"))


def test_chunks_get_smaller_towards_the_end():
    """Guided self-scheduling: each is what is left divided by twice the workers, between 8 people and the most."""
    items = [many.Item(str(number), ()) for number in range(300)]
    sizes = [len(chunk.items) for chunk in many.chunks_of(items, 64, 2)]
    assert sizes == [64, 59, 44, 33, 25, 18, 14, 10, 8, 8, 8, 8, 1]
    assert [item for chunk in many.chunks_of(items, 64, 2) for item in chunk.items] == items
    assert [len(chunk.items) for chunk in many.chunks_of(items, 64)] == [64, 64, 64, 64, 44]
    assert [len(chunk.items) for chunk in many.chunks_of(items[:6], 2, 4)] == [2, 2, 2]


@dataclasses.dataclass(frozen=True)
class Dying(many.Job):
    """A job whose workers end before they have an engine."""

    code: int = 0

    def open_engine(self, threads):
        if self.code < 0:
            os.kill(os.getpid(), -self.code)
        os._exit(self.code)


@needs_kill
@pytest.mark.parametrize("code, cause", [
    (-9, "by SIGKILL, as when memory runs out"), (-11, "by SIGSEGV, which is a crash"),
    (7, "with exit code 7; what it wrote"),
])  # fmt: skip
def test_what_workers_die_of_at_the_start_is_told(code, cause, tmp_path):
    items = items_of(photos_of(tmp_path / "photos", 1))
    with pytest.raises(omniid.InternalError, match=cause) as caught:
        many.encode_many(Dying(str(tmp_path / "out"), code=code), items, 1)
    assert "memory" in str(caught.value) if code == -9 else "memory" not in str(caught.value)


def test_one_process_one_model_and_one_set_of_options(model_path, tmp_path, capsys):
    items = items_of(photos_of(tmp_path / "photos", 2))
    out = tmp_path / "out"
    many.encode_many(many.Job(str(out), str(model_path)), items, 1)
    other = native_model.write(tmp_path / "other.safetensors", seed=8)
    (tmp_path / "photos" / "person 000" / "new.png").write_bytes(png(1))
    again = items_of(tmp_path / "photos")
    with pytest.raises(omniid.MismatchError, match="another folder"):
        many.encode_many(many.Job(str(out), str(other)), again, 1)
    with pytest.raises(omniid.MismatchError, match="most_photos 16, not 3"):
        many.encode_many(many.Job(str(out), str(model_path), most_photos=3), again, 1)
    with pytest.raises(omniid.IoError, match="nowhere"):
        many.encode_many(many.Job(str(tmp_path / "o"), "nowhere.safetensors"), again, 1)
    with output.opened(many.Job(str(out), str(model_path)), items):
        assert main([str(tmp_path / "photos"), "--out", str(out), "-c", str(model_path)]) == 1
    assert "another process" in capsys.readouterr().err
    for wrong in ({"tokens": "float8"}, {"most_photos": 0}, {"readers": 0}, {"timeout": 0.0}):
        with pytest.raises(omniid.InvalidArgumentError, match=next(iter(wrong))):
            many.Job("x", **wrong).check()


def test_an_output_that_cannot_be_written(model_path, tmp_path):
    items = items_of(photos_of(tmp_path / "photos", 1))
    (tmp_path / "file").write_text("")
    with pytest.raises(omniid.IoError, match="file"):
        many.encode_many(many.Job(str(tmp_path / "file"), str(model_path)), items, 1)
    out = tmp_path / "out"
    many.encode_many(many.Job(str(out), str(model_path)), items, 1)
    (path,) = out.glob("*.parquet")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(omniid.FormatError, match="delete it"):
        many.encode_many(many.Job(str(out), str(model_path)), items, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk(model_path, tmp_path, monkeypatch):
    """The file beside its place cannot be written; a worker tells of it and nothing is left."""
    items = items_of(photos_of(tmp_path / "photos", 1))
    (chunk,) = many.chunks_of(items)
    write = parquet.write_table

    def write_there(table, path):
        path.write_bytes(b"PAR1")
        with open("/dev/full", "wb", buffering=0) as file:
            write(table, file)

    monkeypatch.setattr(parquet, "write_table", write_there)
    with omniid.Engine.open(model_path) as engine, pytest.raises(omniid.IoError, match="people-.*No space left"):
        encode.encode_chunk(engine, many.Job(str(tmp_path)), chunk)
    assert [path.name[:10] for path in tmp_path.iterdir() if path.is_file()] == [".attempts-"]


def test_broken_shards(tmp_path):
    whole = tmp_path / "whole.tar"
    with tarfile.open(whole, "w") as archive:
        for person in "abc":
            add(archive, f"{person}.0.png", png(ord(person)))
    data = whole.read_bytes()
    header = tarfile.BLOCKSIZE
    second = header + -(-len(png(ord("a"))) // header) * header
    damaged = bytearray(data)
    damaged[second + 3] ^= 1
    for text, people, message in [
        (data, "abc", None),
        (data[: second + header + 10], "a", "within b.0.png"),  # within a photo
        (data[:second], "a", f"at byte {second}"),  # at the end of one
        (data[: second + 100], "a", "breaks off"),  # within a header
        (bytes(damaged), "a", f"at byte {second}"),
    ]:
        (tmp_path / "x.tar").write_bytes(text)
        problems = []
        found = list(sources.members_of(str(tmp_path / "x.tar"), lambda what, why: problems.append(why)))
        assert "".join(member.person for member in found) == people
        assert [message in why for why in problems] == ([True] if message else []), problems
    for text in (b"", b"no tar file" * 100):
        (tmp_path / "x.tar").write_bytes(text)
        with pytest.raises(omniid.FormatError, match="not a shard"):
            list(sources.members_of(str(tmp_path / "x.tar"), lambda *_: None))
    with pytest.raises(omniid.IoError, match="no such shard"):
        items_of(tmp_path / "none-*.tar")
    with pytest.raises(omniid.InvalidArgumentError, match="million"):
        items_of(tmp_path / "x-{0..9999999}.tar")
    assert sources.expand(["a-{08..11}.tar"]) == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    # A shard that became shorter after it was listed.
    with pytest.raises(omniid.IoError, match="within a photo"):
        reading.read_photo(many.Photo(str(whole), 0, len(data) + 1))


@pytest.mark.parametrize("name, text, message", [
    ("t.csv", "who,what\na,b\n", "columns `person` and `photo` are needed; it has who, what"),
    ("t.csv", "", "it has none"),
    ("t.csv", "person,photo\n,x.png\na\n", "none of its 2 rows"),
    ("t.csv", b"person,photo\n\xff\xfe,x\n", "utf-8"),
    ("t.jsonl", '{"person": "a"\n', "Expecting"),
    ("t.jsonl", "[1]\n", "line 1: not an object"),
    ("t.parquet", "PAR1", "t.parquet"),
])  # fmt: skip
def test_broken_tables(tmp_path, name, text, message, capsys):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main([str(tmp_path / name), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


def test_wrong_sources(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.zip").write_text("")
    for source, code, message in [("x.zip", 2, "neither"), ("nowhere", 1, "no such"), ("empty", 2, "folder")]:
        assert main([str(tmp_path / source), "--out", str(tmp_path / "out")]) == code
        assert message in capsys.readouterr().err
    with pytest.raises(omniid.InvalidArgumentError, match="two sources"):
        many.items_of([folder, folder], lambda *_: None)
    assert not (tmp_path / "out").exists()


def test_photos_that_are_no_files(tmp_path):
    for place, message in [(tmp_path, "directory|not a file"), ("a\0b", "null"), ("what://x", "what"),
                           ("http://127.0.0.1:1/x", "refused")]:  # fmt: skip
        with pytest.raises(omniid.IoError, match=message):
            reading.read_photo(many.Photo(str(place)), 1.0)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(omniid.IoError, match="not a file"):
            reading.read_photo(many.Photo(str(tmp_path / "pipe")))


def test_names_of_files_differ_as_people_do():
    names = ["a/b", "a_b", "a.b", "a%2Eb", ".", "..", "Zoë", "x" * 300, "x" * 301, "李"]
    found = [encode.file_name(name) for name in names]
    assert len(set(found)) == len(names) and "Zoë" in found and "李" in found
    assert all(len(name.encode()) <= 200 and "/" not in name and not name.startswith(".") for name in found)


def test_reading_ahead_is_bounded(monkeypatch):
    """Of a thousand people not more than two dozen are read before they are asked for."""
    read = []
    monkeypatch.setattr(reading, "read_photo", lambda photo, timeout: read.append(photo) or b"x")
    items = [many.Item(str(number), (many.Photo("p"),) * 3) for number in range(1000)]
    for taken, (item, photos) in enumerate(reading.read_ahead(items, 2, 1.0, 4)):
        assert item is items[taken] and photos == [b"x", b"x"]
        assert len(read) <= 2 * taken + 2 * (2 * 4 + 2)
    assert len(read) == 2000


def test_without_pytorch_and_pillow(tmp_path, folder):
    """The parts that list and encode photos need NumPy and pyarrow alone."""
    program = """
import sys
for name in ("torch", "PIL", "ray", "transformers"):
    sys.modules[name] = None
from omniid import many
print(len(many.items_of([sys.argv[1]], lambda *_: None)))
"""
    found = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, text=True, check=True)
    assert found.stdout == "8\n"
