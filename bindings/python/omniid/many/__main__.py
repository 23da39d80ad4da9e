"""`python -m omniid.many`: photos of very many people to identities."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections import Counter
from typing import Optional

from .. import errors
from .chunks import items_of
from .job import Job, Summary
from .local import encode_many

_SHOWN = 20
"""Problems of the sources that are printed one by one."""

_DESCRIPTION = """\
Photos of very many people to identities, by processes on this machine or by Ray on a cluster. A job that was stopped or
killed goes on where it was when the same command is given again; people who are new in the sources are added.

  python -m omniid.many photos --out identities
  python -m omniid.many photos.parquet 'shards/train-{000..015}.tar' --out identities --ray auto
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m omniid.many", description=_DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("sources", nargs="+", help="folders (one per person inside), tables (.parquet, .csv, .jsonl with columns "
        "person and photo: paths or URLs) or WebDataset shards (.tar)")  # fmt: skip
    add("--out", required=True, help="folder of the Parquet files")
    add("--workers", type=int, default=0, help="processes, each with an engine [default: one per processor]")
    add("--ray", nargs="?", const="local", metavar="ADDRESS", help="by Ray: on this machine, or on the cluster at "
        "ADDRESS (auto: the one this machine is in)")  # fmt: skip
    add("--processors", type=int, default=1, help="processors of each of Ray's workers [default: 1]")
    add("-c", "--checkpoint", help="identity model [default: the one inside the library]")
    add("--image-encoder", help="image encoder of a public checkpoint")
    add("--detector", help="face detector [default: the one inside the checkpoint or the library]")
    add("--face-recogniser", help="face recognition network of models that read one")
    add("--device", default="cpu", help="cpu, cuda or cuda:N [default: cpu]")
    add("--precision", default="f32", help="f32, f16 or bf16 [default: f32]")
    add("--strangers", choices=("note", "leave-out", "ignore"), default="note", help="what becomes of a photo that "
        "looks like somebody else than the person's others [default: note]")  # fmt: skip
    add("--most-photos", type=int, default=16, help="photos of a person that are used [default: 16]")
    add("--people", type=int, default=64, help="people in a file [default: 64]")
    add("--tokens", choices=("float16", "float32"), default="float16", help="number type [default: float16]")
    add("--omniid-files", action="store_true", help="writes _identities/PERSON.omniid besides")
    add("--readers", type=int, default=4, help="threads of a worker that read photos ahead [default: 4]")
    add("--timeout", type=float, default=30.0, help="seconds to wait for a server [default: 30]")
    add("--retry", action="store_true", help="does people again who failed or of whom a photo could not be read")
    add("--json", action="store_true", help="the counts as JSON on standard output")
    return parser


def main(arguments: Optional[list[str]] = None) -> int:
    """Runs the program. Gives its exit code: 0 done, 1 failed or nobody could be encoded, 2 wrong usage, 130
    interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except errors.InvalidArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except errors.OmniIdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        extra = "ray" if error.name == "ray" else "many"
        print(f"error: {error}: pip install 'omniid[{extra}]'", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on with what is left", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    # Without what is the default anyway: jobs of programs and of this one may go on with each other.
    names = ("image_encoder", "detector", "face_recogniser", "device", "precision")
    engine = {name: getattr(options, name) for name in names if getattr(options, name) not in (None, "cpu", "f32")}
    job = Job(
        options.out,
        options.checkpoint,
        engine,
        {} if options.strangers == "note" else {"strangers": options.strangers.replace("-", "_")},
        options.most_photos,
        options.tokens,
        options.omniid_files,
        options.timeout,
        options.readers,
    )
    problems: list[tuple[str, str]] = []
    items = items_of(options.sources, lambda what, why: problems.append((what, why)))
    for what, why in problems[:_SHOWN]:
        print(f"left out: {what}: {why}", file=sys.stderr)
    if len(problems) > _SHOWN:
        print(f"left out: {len(problems) - _SHOWN} more", file=sys.stderr)
    show = _Progress()
    if options.ray is None:
        found = encode_many(job, items, options.workers, options.people, options.retry, show)
    else:
        from ..ray import encode_on_ray

        # Ray writes of workers that died to standard output, which is for the counts.
        with contextlib.redirect_stdout(sys.stderr):
            found = encode_on_ray(
                job, items, options.workers, options.people, options.retry, show, address=options.ray,
                processors=options.processors,
            )  # fmt: skip
    if options.json:
        counts = Counter(why.partition(":")[0].partition(" within ")[0] for _, why in problems)
        print(json.dumps({**found.to_json(), "sources": dict(counts)}))
    else:
        print(found)
    return 0 if found.people or not items else 1


class _Progress:
    """A line now and then."""

    def __init__(self, every: float = 5.0) -> None:
        self._every, self._last = every, 0.0
        self._begun: Optional[tuple[float, int]] = None

    def __call__(self, done: int, total: int, counts: Summary) -> None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = now, done
        if now - self._last < self._every and done != total:
            return
        self._last = now
        text = f"{done} of {total} people"
        if counts.seconds > 0:
            text += f", {counts.photos / counts.seconds:.1f} photos/s"
        begun, first = self._begun
        if done > first and done < total:
            text += f", {_duration((now - begun) / (done - first) * (total - done))} left"
        print(f"{text}: {counts}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


if __name__ == "__main__":
    sys.exit(main())
