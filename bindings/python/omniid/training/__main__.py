"""`python -m omniid.training`, or `accelerate launch -m omniid.training`: trains, plans, prepares shards, exports."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from .. import errors

_DESCRIPTION = """\
Trains Omni-ID in PyTorch: the encoder by masked reconstruction, or encoder and adapter against a frozen diffusers host.

  accelerate launch -m omniid.training train run.toml --out runs/mine
  python -m omniid.training plan run.toml            what it needs, before anything starts
  python -m omniid.training shards photos --out shards
  python -m omniid.training evaluate run.toml --checkpoint runs/mine/model.safetensors --out runs/mine/evaluation
  python -m omniid.training export runs/mine/model.safetensors --to ip-adapter -o ip-adapter.safetensors
  python -m omniid.training recipe sd15 > run.toml
"""

_MEMORY = (
    "`plan` says what a run needs; a larger [optimiser] accumulate makes smaller parts, [model] and [host] "
    "gradient_checkpointing keep less; the last saved state is kept"
)


def main(arguments: list[str] | None = None) -> int:
    """Runs the program. Gives its exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.call(options)
        return code
    except errors.InvalidArgumentError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except errors.OmniIdError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print(f"error: out of memory\n{_MEMORY}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        # PyTorch's own for a GPU is a RuntimeError; that of its allocator for the CPU has no type of its own.
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        print(f"error: out of memory: {error}\n{_MEMORY}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m omniid.training", description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="trains; run it by `accelerate launch` for several processes")
    train.add_argument("config", help="TOML file of the run")
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument("--resume", action="store_true", help="goes on with the run in the folder")
    train.add_argument("--allow-changes", action="store_true", help="resumes with another configuration")
    train.set_defaults(call=_train)

    plan = commands.add_parser("plan", help="prints parameters, memory and operations of a step; starts nothing")
    plan.add_argument("config", help="TOML file of the run")
    plan.add_argument("--processes", type=int, default=1, help="processes that share a step [default: 1]")
    plan.add_argument("--json", action="store_true", help="as JSON")
    plan.set_defaults(call=_plan)

    shards = commands.add_parser("shards", help="turns folders of photos into WebDataset shards with faces")
    shards.add_argument("photos", nargs="+", help="folders with one folder per person")
    shards.add_argument("--out", type=Path, required=True, help="folder of the shards")
    shards.add_argument("--size", type=int, default=768, help="longest side of a stored photo [default: 768]")
    shards.add_argument("--margin", default="1", help="what is kept around a face on either side, in multiples of its "
                        "longer side, or `all` of the photo [default: 1]")  # fmt: skip
    shards.add_argument("--shard-size", type=int, default=500, help="megabytes of a shard [default: 500]")
    shards.add_argument("--fewest", type=int, default=2, help="photos that a person must have [default: 2]")
    shards.add_argument("--strangers", choices=("note", "leave-out", "ignore"), default="note", help="what becomes "
                        "of a photo that looks like somebody else than the others [default: note]")  # fmt: skip
    for name in ("validation", "test"):
        shards.add_argument(f"--{name}", type=float, default=0.05, help=f"fraction of the people for {name} "
                            "[default: 0.05]")  # fmt: skip
    shards.add_argument("--split-seed", type=int, default=0, help="seed of the split [default: 0]")
    shards.set_defaults(call=_shards)

    judge = commands.add_parser("evaluate", help="draws people that were not trained on, and measures them")
    judge.add_argument("config", help="TOML file of the run: its host and its people")
    judge.add_argument("--checkpoint", type=Path, required=True,
                       help="model.safetensors of the run, or compared.safetensors of another encoder's")  # fmt: skip
    judge.add_argument("--out", type=Path, required=True, help="folder for evaluation.md and evaluation.json")
    judge.add_argument("--recogniser", help="face recognition network (.onnx, .safetensors, .pth), identity model, or "
                       "'built-in'; its licence is yours to keep. Without one, pixels alone are compared")  # fmt: skip
    judge.add_argument("--detector", help="face detector for the recogniser [default: the one inside the library]")
    judge.add_argument("--crop", default="default", help="crop for an identity model as recogniser; 'none' for "
                       "pictures that are faces cut out already [default: the model's own]")  # fmt: skip
    judge.add_argument("--split", choices=("test", "validation", "train"), default="test")
    judge.add_argument("--people", type=int, default=0, help="at most this many; 0 takes all [default: 0]")
    judge.add_argument("--inputs", default="1,3,5,7", help="numbers of photos [default: 1,3,5,7]")
    judge.add_argument("--targets", type=int, default=4, help="pictures drawn of each person [default: 4]")
    judge.add_argument("--seeds", type=int, default=3, help="noises that pixels are compared with [default: 3]")
    judge.add_argument("--together", type=int, default=4, help="people drawn at once [default: 4]")
    judge.add_argument("--steps", type=int, default=20, help="steps from noise to picture [default: 20]")
    judge.add_argument("--guidance", type=float, default=1.0, help="1 runs the host once a step [default: 1]")
    judge.set_defaults(call=_evaluate)

    recipe = commands.add_parser("recipe", help="prints a recipe to change")
    recipe.add_argument("name", choices=recipes())
    recipe.set_defaults(call=_recipe)

    export = commands.add_parser("export", help="writes a trained checkpoint in another form")
    export.add_argument("checkpoint", help="native checkpoint")
    export.add_argument("--to", choices=("ip-adapter", "f16", "bf16"), required=True,
                        help="IP-Adapter's full-face file for diffusers and ComfyUI, or native in 16 bits")  # fmt: skip
    export.add_argument("-o", "--out", type=Path, required=True)
    export.set_defaults(call=_export)
    return parser


def _train(options: argparse.Namespace) -> int:
    from .config import RunConfig
    from .run import run

    config = RunConfig.open(options.config)
    found = run(config, options.out, resume=options.resume, allow_changes=options.allow_changes)
    return 130 if found is None else 0


def _plan(options: argparse.Namespace) -> int:
    from .config import RunConfig
    from .plan import plan

    found = plan(RunConfig.open(options.config), options.processes)
    print(json.dumps(found.to_json(), indent=1) if options.json else found)
    return 0


def _shards(options: argparse.Namespace) -> int:
    from .data.shards import ShardConfig, write_shards

    try:
        margin = None if options.margin == "all" else float(options.margin)
    except ValueError:
        raise errors.InvalidArgumentError(f"--margin is {options.margin}; it must be a number or `all`") from None
    config = ShardConfig(
        options.size, margin, options.shard_size * 1_000_000, options.fewest, options.strangers.replace("-", "_"),
        options.validation, options.test, options.split_seed,
    )  # fmt: skip
    write_shards(options.photos, options.out, config, lambda text: print(text, file=sys.stderr))
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from .config import RunConfig
    from .evaluation.command import run_evaluation
    from .recogniser import embed_by

    inputs = [int(part) if part.strip().isdigit() else 0 for part in options.inputs.split(",")]
    for name, value in (*(("--inputs", count) for count in inputs), ("--targets", options.targets),
                        ("--seeds", options.seeds), ("--steps", options.steps)):  # fmt: skip
        if value < 1:
            raise errors.InvalidArgumentError(f"{name} {getattr(options, name[2:])}: whole numbers from 1 are needed")
    embed = None
    if options.recogniser:
        embed = embed_by(options.recogniser, options.detector, options.crop)
    run_evaluation(
        RunConfig.open(options.config), options.checkpoint, options.out, embed=embed, split=options.split,
        most=options.people, inputs=inputs, targets=options.targets, seeds=options.seeds, together=options.together,
        steps=options.steps, guidance=options.guidance, report=lambda text: print(text, file=sys.stderr),
    )  # fmt: skip
    return 0


def recipes() -> list[str]:
    """Names of the recipes in the package."""
    return sorted(path.stem for path in (Path(__file__).parent / "recipes").glob("*.toml"))


def _recipe(options: argparse.Namespace) -> int:
    print((Path(__file__).parent / "recipes" / f"{options.name}.toml").read_text(encoding="utf-8"), end="")
    return 0


def _export(options: argparse.Namespace) -> int:
    from .export import export

    export(options.checkpoint, options.out, options.to)
    return 0


if __name__ == "__main__":
    sys.exit(main())
