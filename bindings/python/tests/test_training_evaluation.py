"""Measures of evaluation against numbers worked out by hand, and with a drawer and a recogniser whose answers are
known."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

import omniid  # noqa: E402
from conftest import ROOT  # noqa: E402
from omniid import errors  # noqa: E402
from omniid.training.data.people import Dropped, people_of_folder  # noqa: E402
from omniid.training.data.steps import PictureSizes  # noqa: E402
from omniid.training.evaluation import copy_paste, evaluate, interval, table, write  # noqa: E402
from omniid.training.evaluation.measures import angle_range, between  # noqa: E402
from omniid.training.recogniser import embed_by  # noqa: E402
from training_people import drawn_people  # noqa: E402


def at(degrees):
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], np.float32)


def test_copy_paste_by_angles():
    # Generated 20° from the target and 10° from the reference, which are 30° apart.
    assert abs(copy_paste(at(20), at(0), at(30)) - (20 - 10) / 30) < 1e-4
    # A copy of the reference; and of the target.
    assert abs(copy_paste(at(30), at(0), at(30)) - 1) < 2e-3 and abs(copy_paste(at(0), at(0), at(30)) + 1) < 2e-3
    assert math.isnan(copy_paste(at(20), at(0), at(0)))


def test_intervals():
    # Student's t for 3 degrees of freedom at 97.5 %: 3.182.
    mean, half = interval([1.0, 2.0, 3.0, 4.0, math.nan])
    assert mean == 2.5 and abs(half - 3.182 * math.sqrt(5 / 3) / 2) < 1e-9
    assert math.isnan(interval([])[0]) and interval([2.0])[0] == 2.0 and math.isnan(interval([2.0])[1])
    assert [angle_range(yaw) for yaw in (0, -15, 20, -80)] == ["0-15", "0-15", "15-35", "35-180"]


def test_likeness_between_people():
    others, firsts = between([[at(0)], [at(90)], [None]], [at(0), at(60), at(90)])
    assert np.allclose(others, [0.25, 0.5, 0.0], atol=1e-6)
    # The second is nearer to the third person; a picture without a face is like nobody.
    assert firsts == [1.0, 0.0, 0.0]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    found = people_of_folder(str(drawn_people(tmp_path_factory.mktemp("people"), people=5, photos=4)), Dropped())
    return found, PictureSizes(32, 0.25, 16, 0.25)


class Colours:
    """A recogniser of mean colours."""

    dimension = 3

    def __call__(self, image):
        mean = np.asarray(image, np.float32).mean(axis=(0, 1)) - 127
        return mean / np.linalg.norm(mean)


def copies(step, turn, seed):
    """Draws the first photo that was given of the person whose tokens it has, a little darker by the seed."""
    photos = step.photos[:, 0].roll(turn, dims=0)
    small = torch.nn.functional.interpolate(photos, (16, 16), mode="area")
    return (small - 0.01 * seed).clamp(0, 1).repeat_interleave(len(step.pose) // len(photos), dim=0)


def test_a_drawer_that_copies(people, tmp_path):
    found, sizes = people
    (row,) = evaluate(copies, Colours(), found, sizes, inputs=[2], targets=2, seeds=[0, 3], together=3)
    assert row.people == 5 and row.pictures == 10 and row.without_face == 0
    assert row.first == 1.0 and row.similarity[0] > 0.99 > row.others[0]
    # A pixel of noise of 12 levels around the colour, in pictures of half the size: 6 levels, and as many in the copy.
    # The mean of |N(0, σ)| is σ √(2/π).
    assert abs(row.error[0] - (6 / 255) * math.sqrt(2) * math.sqrt(2 / math.pi)) < 0.01
    assert row.margin[0] - row.margin[1] > 0.02 and len(row.margins_by_seed) == 2
    # Colours as the pictures have them, worked out here.
    order = {}
    for person in found:
        order[person.name] = np.mean(
            [np.asarray(_open(picture), np.float32).mean((0, 1)) for picture in person.pictures], 0
        )
    colours = np.stack(list(order.values())) / 255
    apart = [np.abs(colours[i] - colours[j]).mean() for i in range(5) for j in range(5) if i != j]
    assert min(apart) - 0.05 < row.margin[0] + row.error[0] < max(apart) + 0.05
    write([row], tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text())[0]["people"] == 5
    assert "copy-paste" in table([row])
    # Nobody's face is known, so nothing is said by angle.
    assert row.by_angle == {} and "yaw" not in (tmp_path / "evaluation.md").read_text()


def test_errors_by_angle_are_means_of_people(people):
    """Of rendered people the view is known. A person with many pictures at an angle weighs as much as one with one."""
    found, sizes = people
    yaw = {0: [0.1, 0.1], 1: [0.1, 0.6]}
    known = []
    for number, person in enumerate(found[:2]):
        views = [tuple([angle] + [0.0] * 45) for angle in (*yaw[number], 0.1, 0.1, 0.1)]
        pictures = [replace(picture, view=views[place]) for place, picture in enumerate(person.pictures)]
        known.append(replace(person, pictures=tuple(pictures)))
    (row,) = evaluate(copies, Colours(), known, sizes, inputs=[1], targets=2, seeds=[0], together=2)
    assert set(row.by_angle) <= {"0-15", "15-35"} and "0-15" in row.by_angle
    mean, half = row.by_angle["0-15"]
    # Colours of a person are alike, and there are two people at most.
    assert mean > 0.99 and (math.isnan(half) or half < 0.1)


def _open(picture):
    from omniid.training.data.pictures import decode

    return decode(picture)


def test_without_a_recogniser_pixels_alone(people):
    found, sizes = people
    (row,) = evaluate(copies, None, found, sizes, inputs=[1], targets=1, seeds=[0])
    assert row.people == 5 and math.isnan(row.similarity[0]) and row.margin[0] > 0
    assert "to the person" not in table([row]) and "pixel error" in table([row])


def test_a_drawer_that_takes_no_notice_has_no_margin(people):
    found, sizes = people

    def same(step, turn, seed):
        torch.manual_seed(seed)
        return torch.rand(1, 3, 16, 16).expand(len(step.pose), -1, -1, -1)

    (row,) = evaluate(same, Colours(), found, sizes, inputs=[1], targets=2)
    assert row.margin == (0.0, 0.0) and row.margins_by_seed == [0.0, 0.0, 0.0]


def test_more_photos_than_anybody_has(people):
    found, sizes = people
    with pytest.raises(errors.InvalidArgumentError, match="0 of 5 people have 8 photos"):
        evaluate(copies, None, found, sizes, inputs=[7])


NETWORK = ROOT / "tests" / "fixtures" / "parity" / "recogniser" / "sface" / "model.onnx"


def test_recognisers_by_file(model_path, photo_files, tmp_path):
    from PIL import Image

    photo = Image.open(photo_files[0]).convert("RGB")
    network = embed_by(str(NETWORK))
    with omniid.Engine.open(face_recogniser=NETWORK) as engine:
        expected = engine.face_embedding(photo)
    found = network(photo)
    assert network.dimension == len(found) == len(expected)
    assert np.allclose(found, expected / np.linalg.norm(expected), atol=1e-6)
    assert network(Image.new("RGB", (96, 96), (200, 30, 30))) is None
    model = embed_by("built-in")
    one, two = model(photo), model(Image.open(photo_files[1]).convert("RGB"))
    with omniid.Engine.open() as engine:
        identities = [engine.encode([Image.open(path).convert("RGB")]).identity for path in photo_files[:2]]
        assert abs(float(one @ two) - engine.similarity(*identities)) < 1e-4
    assert embed_by(str(model_path), crop="none")(photo).shape == (6 * 24,)
    with pytest.raises(errors.IoError, match="no such file"):
        embed_by(str(tmp_path / "none.onnx"))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(omniid.OmniIdError):
        embed_by(str(broken))
