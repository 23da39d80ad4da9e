"""The command line."""

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path

from . import markdown, tables
from .encoders import ENCODERS
from .runs import Workplace
from .settings import Refused, load, names

DESCRIPTION = """\
Trains encoders on the same people for the same number of steps, each by what its kind learns from, freezes them,
trains the same generator for each of them with the same steps, and lets it draw people whom none has seen. Writes
comparison.md and comparison.json into the folder: identity similarity with 1, 3, 5 and 7 photos, detail error,
errors by angle, means over seeds with intervals.

The same command goes on where it was stopped; what is finished is kept."""

EPILOG = """\
examples:
  OMNIID_THREADS=1 nice -n 19 training/ablations/compare small --out runs/comparison --assets ASSETS
  training/ablations/compare night --out runs/night --assets ASSETS --seeds 1,2,3
  training/ablations/compare small --out runs/comparison --encoders omni-id,contrastive --seeds 1
  training/ablations/compare small --out runs/comparison --tables-only

encoders: """ + ", ".join(encoder.name for encoder in ENCODERS)

# Options that stand for a number of the setting.
OVERRIDES = {
    "people": "rendered training people",
    "steps": "optimiser steps of every encoder",
    "host_steps": "steps of the generator before any encoder",
    "generator_steps": "steps of the generator for each encoder",
    "test_people": "people that are drawn",
    "test_targets": "pictures drawn of each",
}


def parser():
    """The options."""
    result = argparse.ArgumentParser(
        prog="compare", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("setting", help=f"sizes and lengths: {', '.join(names())}, or a TOML file like theirs")
    result.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where everything is written")
    result.add_argument("--seeds", type=numbers, default=[1, 2], metavar="N,…", help="seeds (default 1,2)")
    known = [encoder.name for encoder in ENCODERS]
    result.add_argument(
        "--encoders", type=lambda text: text.split(","), default=known, metavar="NAME,…", help="some of them only"
    )
    for name, what in OVERRIDES.items():
        option = f"--{name.replace('_', '-')}"
        result.add_argument(option, type=int, metavar="N", help=f"{what}, instead of the setting's")
    result.add_argument(
        "--assets", type=Path, default=path("OMNIID_ASSETS"), metavar="FOLDER", help="head models (or OMNIID_ASSETS)"
    )
    result.add_argument(
        "--verifier",
        type=Path,
        default=path("OMNIID_VERIFIER"),
        metavar="FILE",
        help="MobileFaceNet, the judge of identities (or OMNIID_VERIFIER; default ASSETS/eval/mobilefacenet.safetensors)",
    )
    result.add_argument("--no-verifier", action="store_true", help="compare pixels only")
    result.add_argument(
        "--program", type=Path, default=path("OMNIID"), metavar="FILE", help="omniid (or OMNIID; default from PATH)"
    )
    result.add_argument("--tables-only", action="store_true", help="join what is there, train nothing")
    return result


def path(variable):
    """The path in an environment variable."""
    value = os.environ.get(variable)
    return Path(value) if value else None


def numbers(text):
    """A list of whole numbers."""
    return [int(part) for part in text.split(",")]


def shown(arguments):
    """The arguments as tables name them: paths of one machine say nothing elsewhere."""
    hidden = {"--out": "OUT", "--assets": "ASSETS", "--program": "omniid", "--verifier": "VERIFIER"}
    for before, argument in zip(["", *arguments], arguments, strict=False):
        option, equals, _ = argument.partition("=")
        if equals and option in hidden:
            yield f"{option}={hidden[option]}"
        else:
            yield hidden.get(before) or shlex.quote(argument)


def check(options):
    """Says what is missing before anything is begun."""
    known = {encoder.name for encoder in ENCODERS}
    unknown = sorted(set(options.encoders) - known)
    if unknown:
        raise Refused(f"no encoder {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if options.tables_only:
        return
    program = shutil.which(options.program or "omniid")
    if program is None:
        raise Refused(
            f"no program {options.program or 'omniid'}: build it (cargo build --release -p omniid-cli) and give "
            "--program target/release/omniid"
        )
    options.program = Path(program).resolve()
    if options.assets is None or not any((options.assets / head).is_dir() for head in ("makehuman", "ict_facekit")):
        raise Refused(f"no head models in {options.assets}: give --assets FOLDER with makehuman/ or ict_facekit/ in it")
    if options.no_verifier:
        options.verifier = None
        return
    options.verifier = options.verifier or options.assets / "eval" / "mobilefacenet.safetensors"
    if not options.verifier.is_file():
        raise Refused(
            f"no face recogniser {options.verifier}: give --verifier FILE, or --no-verifier to compare pixels only"
        )


def write_tables(options, setting, command):
    """Joins the evaluations that are there; gives the place of the tables, or None when there is nothing yet."""
    found = tables.evaluations(options.out, options.encoders, options.seeds)
    if not found:
        return None
    wanted = [(name, seed) for name in options.encoders for seed in options.seeds]
    report = {
        "command": command,
        "name": options.setting,
        "setting": setting,
        "missing": [f"{name} with seed {seed}" for name, seed in wanted if seed not in found.get(name, {})],
        "encoders": tables.compare(found),
    }
    any_report = next(iter(next(iter(found.values())).values()))
    program = {name: any_report[name] for name in ("version", "commit", "verifier")}
    text = markdown.document({**report, "evaluation": any_report})
    replace(options.out / "comparison.json", json.dumps({**report, "program": program}, indent=1, ensure_ascii=False))
    replace(options.out / "comparison.md", text)
    return options.out / "comparison.md"


def replace(place, text):
    """Writes a file at once or not at all."""
    beside = place.with_name(place.name + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, place)


def main(arguments=None):
    """Runs the command; gives the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(arguments)
    # A polite kill stops the program that is running, too, and leaves what can be continued.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        setting = load(options.setting)
        for name in OVERRIDES:
            value = getattr(options, name)
            if value is not None:
                if value < 1:
                    raise Refused(f"--{name.replace('_', '-')} is {value}, expected 1 or more")
                setting["comparison"][name] = value
        check(options)
        command = " ".join(["compare", *shown(arguments)])
        if not options.tables_only:
            options.out.mkdir(parents=True, exist_ok=True)
            place = Workplace(options, setting, lambda text: print(text, flush=True))
            place.all(options.encoders, options.seeds, lambda: write_tables(options, setting, command))
        written = write_tables(options, setting, command)
        if written is None:
            raise Refused(f"{options.out} has no evaluation yet")
        print(written)
    except Refused as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("compare: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0
