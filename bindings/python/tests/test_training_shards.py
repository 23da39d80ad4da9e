"""Folders to shards with faces, and the way back into the trainer's steps."""

import json
import shutil
import tarfile

import numpy as np
import pytest
from conftest import ROOT

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

import native_model  # noqa: E402
import omniid  # noqa: E402
from omniid.training.__main__ import main  # noqa: E402
from omniid.training.config import SamplerConfig  # noqa: E402
from omniid.training.data.people import Dropped, Face, people_of_folder, people_of_shards, split  # noqa: E402
from omniid.training.data.pictures import cut, decode  # noqa: E402
from omniid.training.data.sampler import Sampler  # noqa: E402
from omniid.training.data.shards import ShardConfig, surroundings, write_shards  # noqa: E402
from omniid.training.data.steps import PictureSizes, StepDataset  # noqa: E402

PHOTOS = ROOT / "examples" / "photos"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five rendered people with three photos each, and everything that is to be dropped."""
    root = tmp_path_factory.mktemp("photos")
    for person in range(1, 6):
        # A dot, a space and another script: names of samples end at the first dot.
        place = root / {1: "anna b. c", 2: "李", 3: "100%"}.get(person, f"person-{person}")
        place.mkdir()
        for photo in sorted((PHOTOS / f"person-{person}").glob("*.jpg"))[:3]:
            shutil.copy(photo, place)
    (root / "person-4" / "01.txt").write_text("a portrait\n")
    (root / "100%" / "broken.jpg").write_bytes((root / "100%" / "01.jpg").read_bytes()[:3000])
    shutil.copy(root / "100%" / "01.jpg", root / "100%" / "copy.jpg")
    shutil.copy(root / "100%" / "02.jpg", root / "person-4" / "of somebody else.jpg")
    Image.new("RGB", (200, 200), "grey").save(root / "person-5" / "grey.png")
    with Image.open(root / "person-5" / "01.jpg") as image:
        image.rotate(90).save(root / "person-5" / "lying.png")
    (root / "one photo").mkdir()
    shutil.copy(PHOTOS / "person-6" / "01.jpg", root / "one photo")
    (root / "empty").mkdir()
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    lines = []
    config = ShardConfig(size=400, shard_bytes=60_000, validation=0.2, test=0.2, split_seed=3)
    return out, write_shards([str(folder)], out, config, lines.append), lines


def people(paths):
    dropped = Dropped()
    found = people_of_shards([str(path) for path in paths], dropped)
    assert not dropped.reasons
    return {person.name: person for person in found}


def test_every_usable_photo_is_there_once(folder, shards):
    out, paths, lines = shards
    found = people(paths)
    assert {name: len(person.pictures) for name, person in found.items()} == {
        "anna b. c": 3, "李": 3, "100%": 3, "person-4": 3, "person-5": 3,
    }  # fmt: skip
    assert len(paths) > 3 and sorted(out.glob("*.tar")) == sorted(paths) and not list(out.glob(".*"))
    report = json.loads((out / "report.json").read_text())
    assert report["shards"] == [path.name for path in paths]
    assert sum(part["photos"] for part in report["parts"].values()) == 15
    reasons = {line.split("\t")[0].removeprefix(f"{folder}/"): line.split("\t")[1] for line in
               (out / "dropped.txt").read_text().splitlines()}  # fmt: skip
    for what, why in {
        "100%/broken.jpg": "unreadable", "100%/copy.jpg": "copy of another photo: 100%/01.jpg",
        "person-4/of somebody else.jpg": "the same photo under two people: 100%/02.jpg", "person-5/grey.png": "no face",
        "person-5/lying.png": "lies on its side", "one photo": "1 usable photos", "empty": "no photo",
    }.items():  # fmt: skip
        reason = reasons.pop(what, None) or reasons.pop(str(folder / what))
        assert reason.startswith(why), (what, reason)
    assert not reasons and sum(report["left_out"].values()) == 7
    assert any("left out 1: no face" in line for line in lines)
    captions = [picture.caption for picture in found["person-4"].pictures]
    assert captions == ["a portrait", None, None]


def test_people_are_split_as_a_run_splits_them(folder, shards):
    out, paths, _ = shards
    named = {part: set(people(sorted(out.glob(f"{part}-*.tar")))) for part in ("train", "validation", "test")}
    again = split(list(people(paths).values()), 0.2, 0.2, 3)
    assert named == {part: {person.name for person in found} for part, found in zip(named, again)}
    from_folder = split(people_of_folder(str(folder), Dropped()), 0.2, 0.2, 3)
    for part, found in zip(named, from_folder):
        assert named[part] == {person.name for person in found} & set(people(paths))
    assert all(named.values()) or len(set(map(len, named.values()))) > 1


def test_faces_and_their_quality_are_those_of_the_plugin(folder, shards):
    """Faces are those of the photo, moved and scaled as it was; crops are those of the photo itself."""
    out, paths, _ = shards
    originals = {person.name: person for person in people_of_folder(str(folder), Dropped())}
    found = people(paths)
    with omniid.Engine.open() as engine:
        for name in ("anna b. c", "person-5"):
            for place, picture in enumerate(found[name].pictures):
                original = originals[name].pictures[place]
                before = engine.detect_faces(original.path)[0]
                about = metadata(paths, name.replace(".", "%2E"))[place]
                left, top, right, _ = about["crop"]
                scale = about["width"] / (right - left)
                points = np.array([*np.reshape(before.bounds, (2, 2)), *before.landmarks])
                found_points = np.array([*np.reshape(picture.face.bounds, (2, 2)), *picture.face.landmarks])
                assert np.abs((points - (left, top)) * scale - found_points).max() < 0.5
                whole = Face(before.bounds, before.landmarks)
                for margin in (0.25, 0.9):
                    theirs, _ = cut(decode(original), whole, margin, 96)
                    ours, _ = cut(decode(picture), picture.face, margin, 96)
                    difference = np.asarray(theirs, np.float32) - np.asarray(ours, np.float32)
                    assert np.abs(difference).mean() < 3, (name, place, margin)
        photos = [omniid.Photo(p.path, face=engine.detect_faces(p.path)[0].bounds) for p in originals["李"].pictures]
        similarities = [report.similarity for report in engine.encode(photos).photos]
    about = metadata(paths, "李")
    assert [entry["source"] for entry in about] == ["01.jpg", "02.jpg", "03.jpg"]
    assert np.allclose([entry["quality"]["similarity"] for entry in about], similarities, atol=1e-4)
    assert all(0.3 < entry["quality"]["score"] <= 1 and entry["quality"]["size"] > 24 for entry in about)
    assert all(max(entry["width"], entry["height"]) <= 400 for entry in about)


def metadata(paths, person):
    found = []
    for path in paths:
        with tarfile.open(path) as archive:
            for member in archive:
                if member.name.endswith(".json") and member.name.startswith(person):
                    found.append(json.load(archive.extractfile(member)))
    return found


def test_the_trainer_draws_from_shards(shards):
    _, paths, _ = shards
    found = list(people(paths).values())
    config = SamplerConfig(people=5, fewest_inputs=2, most_inputs=2, targets=1)
    sampler = Sampler([len(person.pictures) for person in found], config, 1)
    step = StepDataset(found, sampler, PictureSizes(32, 0.25, 48, 0.9))[0]
    assert step.photos.shape == (5, 2, 3, 32, 32) and step.targets.shape == (5, 3, 48, 48)
    assert step.photos.std() > 0.05 and step.targets.std() > 0.1
    # Every face lies in the middle of its target, 1 / (1 + 2 · 0.9) of it wide or high, or more.
    for face in step.faces:
        left, top, right, bottom = face.bounds
        assert abs((left + right) / 2 - 24) < 2 and abs((top + bottom) / 2 - 24) < 2
        # These faces are large, and a square is at most as large as the photo's longer side.
        assert max(right - left, bottom - top) > 48 / 2.8 - 2
    assert (step.pose.abs().sum(dim=1) > 0).all()


def test_a_second_command_replaces_the_first(folder, tmp_path, capsys):
    assert main(["shards", str(folder), "--out", str(tmp_path), "--shard-size", "0"]) == 2
    assert "shard_bytes" in capsys.readouterr().err
    first = write_shards([str(folder)], tmp_path, ShardConfig(shard_bytes=1, test=0.0, validation=0.0))
    assert len(first) == 5
    (tmp_path / ".train-000000.tar.1.tmp").write_text("of a command that was killed")
    stamp = (tmp_path / "faces.jsonl").stat().st_mtime_ns
    assert main(["shards", str(folder), "--out", str(tmp_path), "--test", "0", "--validation", "0", "--margin", "all",
                 "--strangers", "ignore", "--fewest", "3"]) == 0  # fmt: skip
    assert [path.name for path in tmp_path.glob("*.tar")] == ["train-000000.tar"] and not list(tmp_path.glob(".*"))
    assert (tmp_path / "faces.jsonl").stat().st_mtime_ns == stamp  # faces are not looked for again
    (one, *_) = metadata([tmp_path / "train-000000.tar"], "person-5")
    assert one["crop"] == [0, 0, 448, 448] and one["quality"]["similarity"] is None


def test_people_of_one_name_in_two_folders_are_two(folder, tmp_path):
    (tmp_path / "more" / "person-4").mkdir(parents=True)
    for photo in sorted((PHOTOS / "person-6").glob("*.jpg"))[2:4]:
        shutil.copy(photo, tmp_path / "more" / "person-4")
    paths = write_shards([str(folder), str(tmp_path / "more")], tmp_path / "out", ShardConfig(strangers="ignore"))
    found = people(paths)
    assert len(found) == 6 and len(found["person-4"].pictures) == 3 and len(found["person-4-2"].pictures) == 2


@pytest.mark.parametrize("wrong", [
    {"size": 10}, {"margin": 5.0}, {"margin": float("nan")}, {"fewest": 0}, {"strangers": "kill"},
    {"validation": 0.6, "test": 0.5}, {"test": -1.0},
])  # fmt: skip
def test_wrong_values(wrong):
    with pytest.raises(omniid.InvalidArgumentError, match=next(iter(wrong))):
        ShardConfig(**wrong).check()


def test_nobody_is_left(tmp_path, capsys):
    (tmp_path / "photos" / "anna").mkdir(parents=True)
    shutil.copy(PHOTOS / "person-1" / "01.jpg", tmp_path / "photos" / "anna")
    assert main(["shards", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]) == 2
    assert "nobody has 2 usable photos" in capsys.readouterr().err
    assert "1 usable photos" in (tmp_path / "out" / "dropped.txt").read_text()
    assert main(["shards", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 1
    assert main(["shards", str(tmp_path / "photos"), "--out", str(tmp_path / "photos" / "anna" / "01.jpg")]) == 1


def test_broken_metadata_is_dropped(shards, tmp_path):
    """A shard with a description that is none, one without a photo, and one of numbers that are none."""
    _, paths, _ = shards
    face = {"bounds": [0, 0, 9, 9], "landmarks": [[1, 1]] * 5}
    wrong = [{"bounds": [1]}, {**face, "bounds": [9, 0, 0, 9]}, {**face, "landmarks": [[float("nan"), 1]] * 5}]
    texts = [b"{", b"[]", *(json.dumps({"face": value}).encode() for value in (*wrong, face)), b"{}"]
    photo = (PHOTOS / "person-1" / "01.jpg").read_bytes()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for number, text in enumerate(texts):
            add(archive, f"anna.{number}.json", text)
            add(archive, f"anna.{number}.jpg", photo)
        add(archive, "anna.99.json", b"{}")
    dropped = Dropped()
    (person,) = people_of_shards([str(tmp_path / "x.tar")], dropped)
    assert [picture.face is None for picture in person.pictures] == [False, True]
    assert len(dropped.reasons) == 6 and dropped.counts() == {"broken metadata": 5, "metadata without a photo": 1}
    assert all(picture.read() == photo for picture in person.pictures)


def add(archive, name, data):
    import io

    member = tarfile.TarInfo(name)
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def test_squares_come_out_of_the_surroundings_as_out_of_the_photo():
    """Random faces, also ones that reach out of the photo: equal but for rounding, and for the border, where the filter
    that resizes reaches out of the square."""
    random = np.random.default_rng(5)
    for number in range(200):
        width, height = random.integers(40, 160, 2).tolist()
        left, top = random.uniform(-10, (width - 10, height - 10))
        face = Face((left, top, left + random.uniform(12, 90), top + random.uniform(12, 90)), ((0.0, 0.0),) * 5)
        image = Image.fromarray(native_model.picture(number, height, width))
        crop = surroundings(width, height, face, 1.0)
        assert 0 <= crop[0] < crop[2] <= width and 0 <= crop[1] < crop[3] <= height
        moved = Face(tuple(value - crop[i % 2] for i, value in enumerate(face.bounds)), face.landmarks)
        for margin in (0.0, 0.25, 0.9, 1.0):
            expected, _ = cut(image, face, margin, 40)
            found, _ = cut(image.crop(crop), moved, margin, 40)
            expected, found = (np.asarray(square, int)[3:-3, 3:-3] for square in (expected, found))
            assert np.abs(expected - found).max() <= 3, (width, height, face.bounds, margin)
