"""What a step draws, drops and weighs, and the exact views of rendered people."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from omniid import errors  # noqa: E402
from omniid.training.config import RunConfig  # noqa: E402
from omniid.training.data.people import Dropped, Face, Picture, people_of_folder  # noqa: E402
from omniid.training.data.sampler import Draw, Input, Sampler  # noqa: E402
from omniid.training.data.steps import PictureSizes, StepDataset  # noqa: E402
from omniid.training.data.views import grey, mirrored  # noqa: E402
from omniid.training.models import identity_of  # noqa: E402
from omniid.training.objectives import noise  # noqa: E402
from omniid.training.objectives.host import HostObjective  # noqa: E402
from omniid.training.objectives.masked import MaskedObjective  # noqa: E402
from omniid.training.run import run  # noqa: E402
from test_training_host import objective  # noqa: E402
from training_people import configuration, drawn_people, lines  # noqa: E402


def draws(seeds):
    return [Draw(0, (Input(0, 1.0, 0.0),), (1,), False, False, seed) for seed in seeds]


def test_dropping_has_nothing_to_do_with_noise():
    """Times of the first four targets of people who are dropped and who are kept have the same mean, 1/2."""
    seeds = torch.randint(0, 2**62, (3000,), generator=torch.Generator().manual_seed(3)).tolist()
    dropped = torch.tensor(
        [float(torch.rand((), generator=noise.generator_for(seed, "identity"))) < 0.2 for seed in seeds]
    )
    assert abs(dropped.float().mean() - 0.2) < 0.03
    prompts = torch.tensor(
        [float(torch.rand((), generator=noise.generator_for(seed, "prompt"))) < 0.2 for seed in seeds]
    )
    assert abs(prompts[dropped].float().mean() - prompts.float().mean()) < 0.06
    for place in range(4):
        times = noise.Randoms([seed + place for seed in seeds], torch.device("cpu")).uniform()
        # Four standard errors of 600 numbers drawn evenly.
        assert abs(times[dropped].mean() - 0.5) < 0.048, place


def test_nobody_is_the_running_mean_of_all_steps():
    """Not the mean of a step: of two people it would be half of each."""
    host = objective("unet")
    host.config = replace(host.config, identity_dropout=1.0)
    host.train()
    torch.manual_seed(1)
    steps = [torch.randn(2, 6, 20) for _ in range(40)]

    def kept():
        return host._kept(draws([1, 2]), torch.device("cpu"))

    expected = None
    for tokens in steps:
        found = host._dropped(tokens, kept())
        mean = tokens.mean(dim=0, keepdim=True)
        expected = mean if expected is None else 0.98 * expected + 0.02 * mean
        assert torch.allclose(found, expected.expand_as(tokens), atol=1e-6)
    assert host.mean_tokens.abs().mean() < 0.5 * steps[0].mean(dim=0).abs().mean()
    other = objective("unet")
    other.load_state_dict(host.state_dict())
    assert isinstance(other, HostObjective) and torch.equal(other.mean_tokens, host.mean_tokens)
    host.eval()
    assert torch.equal(host._dropped(steps[0], kept()), steps[0])


def test_parts_of_a_step_make_its_loss_with_weights_of_places_too():
    torch.manual_seed(6)
    sample, target = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    places = torch.rand(4, 1, 8, 8) ** 3

    def of(rows):
        noised = noise.Noised(
            sample[rows], torch.zeros(4)[rows], target[rows], torch.tensor([1.0, 2.0, 0.5, 1.0])[rows]
        )
        return noise.loss(sample[rows], noised, places[rows])

    whole, halves = of(slice(0, 4)), (of(slice(0, 2)) + of(slice(2, 4))) / 2
    assert torch.allclose(whole, halves, rtol=1e-6)


def view(number):
    """Numbers that differ everywhere, as JSON and in the generator's order."""
    values = [round(0.01 * (number + place), 4) for place in range(46)]
    rows = {"points": values[3:13], "light": values[27:39], "background": values[39:45]}
    about = {"yaw": values[0], "pitch": values[1], "roll": values[2], "expression": values[13:25],
             "gaze": values[25:27], "glasses": values[45],
             "points": [rows["points"][i : i + 2] for i in range(0, 10, 2)],
             "light": [rows["light"][i : i + 3] for i in range(0, 12, 3)],
             "background": [rows["background"][i : i + 3] for i in range(0, 6, 3)]}  # fmt: skip
    return about, values


def test_views_of_rendered_people_reach_the_targets(tmp_path):
    folder = drawn_people(tmp_path / "people", people=2, photos=3)
    truth, expected = [], {}
    for number, path in enumerate(sorted(folder.glob("*/*.png"))):
        about, values = view(10 * number)
        truth.append(json.dumps({"path": f"{path.parent.name}/{path.name}", "view": about}))
        expected[str(path)] = values
    (folder / "truth.jsonl").write_text("\n".join(truth))
    people = people_of_folder(str(folder), Dropped())
    assert [list(picture.view) for person in people for picture in person.pictures] == list(expected.values())

    class Fixed:
        def draw(self, step):
            return [Draw(0, (Input(0, 1.0, 0.0),), (1, 2), False, False, 1),
                    Draw(1, (Input(0, 1.0, 0.0),), (2, 1), False, True, 2)]  # fmt: skip

    step = StepDataset(people, Fixed(), PictureSizes(32, 0.0, 32, 0.0))[0]
    pictures = [people[0].pictures[1], people[0].pictures[2], people[1].pictures[2], people[1].pictures[1]]
    wanted = [picture.view for picture in pictures]
    assert step.views is not None
    assert torch.allclose(step.views[:2], torch.tensor(wanted[:2]))
    assert torch.allclose(step.views[2:], torch.tensor([mirrored(one) for one in wanted[2:]]))
    # The beginning of a view is what is said of a pose, as `condition_numbers` of `omniid train` does.
    assert torch.equal(step.pose, step.views[:, :13]) and step.pose.abs().min() > 0
    # A view is that of the whole picture, not of a face that was cut out; and one that is missing says nothing of all.
    face = Face((4.0, 4.0, 28.0, 28.0), ((10.0, 12.0), (22.0, 12.0), (16.0, 17.0), (12.0, 22.0), (20.0, 22.0)))
    people[0].pictures[1].__dict__["face"] = face
    step = StepDataset(people, Fixed(), PictureSizes(32, 0.0, 32, 0.0))[0]
    assert step.views is None
    assert torch.allclose(step.pose[1], torch.tensor(wanted[1][:13])) and not torch.allclose(
        step.pose[0], torch.tensor(wanted[0][:13])
    )


def test_stage_1_is_told_poses_and_views_of_rendered_people(tmp_path):
    folder = drawn_people(tmp_path / "people", people=2, photos=3)
    truth = [json.dumps({"path": f"{path.parent.name}/{path.name}", "view": view(number)[0]})
             for number, path in enumerate(sorted(folder.glob("*/*.png")))]  # fmt: skip

    def told(condition):
        config = RunConfig.from_toml(configuration(folder, masked={"condition": condition}))
        people = people_of_folder(str(folder), Dropped())
        sampler = Sampler([3, 3], config.sampler, 0)
        step = StepDataset(people, sampler, PictureSizes(32, 0.0, 32, 0.0))[0]
        return MaskedObjective(config, identity_of(config.model)).condition(step), step

    with pytest.raises(errors.InvalidArgumentError, match="truth.jsonl"):
        told("view")
    assert told("none")[0] is None and not told("pose")[0].any()
    (folder / "truth.jsonl").write_text("\n".join(truth))
    for condition, length in (("pose", 13), ("view", 46)):
        found, step = told(condition)
        assert found.shape == (len(step.pose), length)
        for row, (person, place) in enumerate((draw.person, place) for draw in step.draws for place in draw.targets):
            expected = view(3 * person + place)[1]
            expected = mirrored(expected) if step.draws[row // 2].mirrored else expected
            assert torch.allclose(found[row, :13], torch.tensor(expected[:13]))


def test_the_view_of_a_picture_without_colours():
    """Light and background by the weights of ITU-R BT.601; all else stays."""
    values = tuple(float(place) for place in range(46))
    found = grey(values)
    assert found[:27] == values[:27] and found[45] == values[45]
    for first in range(27, 45, 3):
        assert found[first : first + 3] == pytest.approx([first + 0.587 + 2 * 0.114] * 3)


def test_a_mirrored_view():
    """As `View::mirrored` of the generator says, place by place; twice is the view itself."""
    values = tuple(float(place + 1) for place in range(46))
    found = mirrored(values)
    assert mirrored(found) == values
    assert (found[0], found[1], found[2]) == (-1.0, 2.0, -3.0)
    # Eyes and mouth corners change places: the left eye's x is the negative of the right one's.
    assert found[3:13] == (-6.0, 7.0, -4.0, 5.0, -8.0, 9.0, -12.0, 13.0, -10.0, 11.0)
    assert found[13:23] == values[13:23] and found[23:25] == (25.0, 24.0)
    assert found[25:27] == (-26.0, 27.0)
    assert found[27:30] == values[27:30] and found[30:33] == (-31.0, -32.0, -33.0) and found[33:] == values[33:]


def test_a_broken_truth_is_named(tmp_path):
    folder = drawn_people(tmp_path / "people", people=1, photos=2)
    about, _ = view(0)
    for text in ("{}", "no JSON", json.dumps({"path": "person-0/0.png", "view": about | {"gaze": [0.0]}})):
        (folder / "truth.jsonl").write_text(text)
        with pytest.raises(errors.FormatError, match="line 1 is not the truth"):
            people_of_folder(str(folder), Dropped())
    assert Picture("x").view is None


def test_a_run_that_was_killed_before_its_first_state_begins_again(tmp_path):
    people = drawn_people(tmp_path / "people")
    config = RunConfig.from_toml(configuration(people, 2, report={"state_every": 1000}))
    out = tmp_path / "out"
    out.mkdir()
    (out / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    assert run(config, out, resume=True, report=lambda _: None) is not None
    assert [line["step"] for line in lines(out) if "loss" in line] == [1, 2]


def test_what_is_no_picture_is_left_out_of_cut_photos_too(tmp_path):
    people = drawn_people(tmp_path / "people")
    (people / "person-0" / "notes.jpg").write_text("no picture")
    config = RunConfig.from_toml(configuration(people, 1))
    assert run(config, tmp_path / "out", report=lambda _: None) is not None
    assert "notes.jpg\tunreadable" in (tmp_path / "out" / "dropped.txt").read_text()
