"""The tables of a comparison as Markdown."""

from .encoders import ENCODERS, FLOW
from .runs import FIRST_TEST_SEED, PHOTOS
from .settings import batch, stage_pictures, stage_steps
from .tables import verdicts

MOST = PHOTOS[-1]


def cell(estimate, decimals=3):
    """A value with its interval."""
    if not estimate:
        return "–"
    value, low, high = (f"{estimate[name]:.{decimals}f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def signed(estimate, decimals=3):
    """A difference with its interval, and a question mark where the seeds disagree about its sign."""
    if not estimate:
        return "–"
    value, low, high = (f"{estimate[name]:+.{decimals}f}" for name in ("value", "low", "high"))
    doubt = "" if len({seed > 0 for seed in estimate["seeds"]}) == 1 else " ?"
    return f"{value} [{low}, {high}]{doubt}"


def table(titles, rows):
    """A table; the first column is text."""
    lines = [f"| {' | '.join(titles)} |", "|" + "---|" * len(titles)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def document(report):
    """Everything, from what `command` has gathered."""
    setting, numbers, any_report = report["setting"], report["encoders"], report["evaluation"]
    sizes = setting["comparison"]
    seeds = sorted({seed for own in numbers.values() for seed in own["seeds"]})
    verifier = any_report["verifier"]
    lines = [
        "# Which encoder serves a generator",
        "",
        f"- command: `{report['command']}`",
        f"- program: {any_report['version']}, commit {any_report['commit']}",
        f"- setting {report['name']}: {sizes['people']} rendered people of {sizes['size']} px, "
        f"{sizes['steps']} steps for every encoder; the generator learns for {sizes['host_steps']} steps before any "
        f"encoder, and {sizes['generator_steps']} for each, frozen",
        f"- seeds of encoder and generator: {', '.join(map(str, seeds))}; {sizes['test_people']} test people from seed "
        f"{FIRST_TEST_SEED}, {sizes['test_targets']} pictures each, {sizes['drawing_steps']} steps of drawing with "
        f"guidance {sizes['guidance']}",
        f"- judge of identities: {verifier['name'] + ' `' + verifier['fingerprint'] + '`' if verifier else 'none'}",
    ]
    if report["missing"]:
        lines.append(f"- **missing**: {', '.join(report['missing'])}")
    lines += [
        "",
        "Values are means over seeds and people; in brackets the interval that holds 95 % of the values when people "
        "are drawn anew. The people, views and noise are the same for all, so differences are taken person by person. "
        "A question mark: the seeds disagree about the sign.",
        "",
        "## Identity",
        "",
        "Similarity of the drawn to the true picture:",
        "",
    ]
    titles = ["encoder", *(f"{photos} photo{'s' if photos > 1 else ''}" for photos in PHOTOS)]
    titles += [f"less Omni-ID, {MOST} photos", "less with another person's identity"]

    def identity_rows(measure):
        for own in numbers.values():
            cells = [cell(own["photos"].get(photos, {}).get(measure)) for photos in PHOTOS]
            less = "" if "less_omni_id" not in own else signed(own["less_omni_id"].get(measure))
            yield [own["title"], *cells, less, signed(own["over_another_person"].get(measure))]

    lines.append(table(titles, identity_rows("similarity")))
    truth = {one["measure"]: one["estimate"] for one in any_report["people"][0]["generation"]["truth"][0]["measured"]}
    if truth:
        lines += [
            f"True pictures among themselves: another view of the person {cell(truth.get('other_view'))}, other people "
            f"{cell(truth.get('impostor'))}.",
            "",
            "Similarity to another true view less that to other people (how much the picture shows who it is):",
            "",
            table(titles, identity_rows("margin")),
        ]
    lines += ["## Detail", "", f"With {MOST} photos, against the true picture; smaller errors are better:", ""]
    shown = (("L1, head", "l1_head", 4), ("detail error", "detail_error", 3), ("detail energy", "detail_energy", 3))
    titles = ["encoder", *(name for name, _, _ in shown), *(f"{name}, less Omni-ID" for name, _, _ in shown[:2])]
    rows = []
    for own in numbers.values():
        cells = [cell(own["photos"].get(MOST, {}).get(measure), decimals) for _, measure, decimals in shown]
        less = own.get("less_omni_id", {})
        cells += [
            signed(less.get(measure), decimals) if "less_omni_id" in own else "" for _, measure, decimals in shown[:2]
        ]
        rows.append([own["title"], *cells])
    lines += [table(titles, rows), f"## By the angle between target and nearest photo, {MOST} photos", ""]
    angles = list(dict.fromkeys(angle for own in numbers.values() for angle in own["angles"]))
    for name, measure, decimals in (("Similarity", "similarity", 3), ("Detail error", "detail_error", 3)):
        if not any(measure in own["angles"].get(angle, {}) for own in numbers.values() for angle in angles):
            continue
        rows = [
            [own["title"], *(cell(own["angles"].get(angle, {}).get(measure), decimals) for angle in angles)]
            for own in numbers.values()
            if own["angles"]
        ]
        lines += [f"{name}:", "", table(["encoder", *angles], rows)]
    lines += ["## Telling people apart", "", "AUC of the cosine of the frozen encoder's tokens, centred; by seed:", ""]
    sets = sorted({photos for own in numbers.values() for photos in own["auc"]})
    rows = [
        [own["title"], *(auc_cell(own["auc"].get(photos)) for photos in sets)] for own in numbers.values() if own["auc"]
    ]
    lines.append(table(["encoder", *(f"{photos} photo{'s' if photos > 1 else ''} a side" for photos in sets)], rows))
    lines += ["## What the intervals allow to say", "", *(f"- {sentence}" for sentence in verdicts(numbers)), ""]
    lines += ["## Budget", "", budget(setting), ""]
    return "\n".join(lines)


def auc_cell(found):
    """A mean with the values of all seeds."""
    return "–" if not found else f"{found['value']:.3f} ({', '.join(f'{value:.3f}' for value in found['seeds'])})"


def budget(setting):
    """Steps and pictures of every encoder."""
    rows = []
    for encoder in ENCODERS:
        parts, pictures = [], 0
        for stage in encoder.stages:
            steps, each = stage_steps(setting, stage), stage_pictures(setting, stage)
            kind = "flow" if stage.kind == FLOW else "without generator"
            parts.append(f"{steps} {kind}, {each} pictures each")
            pictures += steps * each
        rows.append([encoder.title, "; ".join(parts), f"{pictures:,}"])
    text = table(["encoder", "steps", "pictures read or drawn"], rows)
    masked, flow = batch(setting, "masked"), batch(setting, "flow")
    return (
        "All encoders have the same number of optimiser steps. A step without generator reads or draws as many "
        f"pictures for all: {masked.people} people, {masked.inputs} read and {masked.targets} drawn, or what comes to "
        f"the same. A step of the flow decoder costs more and has fewer: {flow.people} people, {flow.inputs} read, "
        f"{flow.targets} drawn.\n\n{text}"
    )
