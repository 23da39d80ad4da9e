"""From the evaluations of all encoders and seeds to one table."""

import json
import random

from .encoders import AVERAGED, ENCODERS, OMNI_ID
from .runs import PHOTOS

RESAMPLES = 1000
MEASURES = ("similarity", "other_view", "margin", "rank1", "l1_head", "psnr_head", "detail_error", "detail_energy")
# What is said in sentences.
SAID = {
    "similarity": "Similarity to the true picture",
    "margin": "Another true view less others",
    "l1_head": "L1 on the head",
    "detail_error": "Detail error",
}
# Of these, less is better.
ERRORS = ("l1_head", "detail_error")


def title(name):
    """What an encoder is called in tables."""
    return dict([AVERAGED, *((encoder.name, encoder.title) for encoder in ENCODERS)])[name]


def evaluations(folder, encoders, seeds):
    """The evaluations that are there: encoder → seed → report."""
    found = {}
    for name in encoders:
        for seed in seeds:
            path = folder / f"seed-{seed}" / name / "evaluation" / "evaluation.json"
            if path.with_name("done.json").is_file():
                found.setdefault(name, {})[seed] = json.loads(path.read_text())
    return found


def row(report, kind):
    """The result of a kind of identity: {"photos": 3}, "other_person"."""
    results = report["people"][0]["generation"]["results"]
    return next((result for result in results if result["drawn"] == kind), None)


def kind_of(name, photos):
    """Encoder and kind of identity that a row of the tables stands for."""
    return (OMNI_ID, {"averaged": photos}) if name == AVERAGED[0] else (name, {"photos": photos})


def by_person(reports, kind, measure, seeds=None, angle=None):
    """A person's means over the seeds, of all people: None for who was not measured. And each seed's mean."""
    seeds = sorted(reports) if seeds is None else seeds
    per_seed = []
    for seed in seeds:
        if angle is None:
            found = row(reports[seed], kind)
        else:
            angles = reports[seed]["people"][0]["generation"]["angles"]
            found = next((one for one in angles if one["drawn"] == kind and one["from"] == angle), None)
        if found is None:
            return [], []
        per_seed.append([person.get(measure) for person in found["people"]])
    people = [mean([value for value in values if value is not None]) for values in zip(*per_seed, strict=True)]
    means = [mean([value for value in values if value is not None]) for values in per_seed]
    return people, means


def mean(values):
    """The mean; None of nothing."""
    return sum(values) / len(values) if values else None


def estimate(people, per_seed):
    """The mean over people with the interval from drawing people anew, and the mean of every seed."""
    values = [value for value in people if value is not None]
    if not values:
        return None
    generator = random.Random(1)
    draws = sorted(mean(generator.choices(values, k=len(values))) for _ in range(RESAMPLES))
    low, high = draws[round(0.025 * (RESAMPLES - 1))], draws[round(0.975 * (RESAMPLES - 1))]
    return {"value": mean(values), "low": low, "high": high, "seeds": per_seed, "people": len(values)}


def difference(a, b):
    """Estimate of a less b, person by person; both as `by_person` gives them."""
    (people_a, seeds_a), (people_b, seeds_b) = a, b
    if not people_a or not people_b:
        return None
    pairs = zip(people_a, people_b, strict=True)
    people = [None if None in pair else pair[0] - pair[1] for pair in pairs]
    seeds = [None if None in pair else pair[0] - pair[1] for pair in zip(seeds_a, seeds_b, strict=True)]
    return estimate(people, seeds)


def compare(found):
    """All numbers of the tables: encoder → numbers."""
    names = [encoder.name for encoder in ENCODERS if encoder.name in found]
    if OMNI_ID in found:
        names.insert(1, AVERAGED[0])
    result = {}
    for name in names:
        source = kind_of(name, 1)[0]
        reports = found[source]
        numbers = {"title": title(name), "seeds": sorted(reports), "photos": {}, "angles": {}, "auc": {}}
        for photos in PHOTOS:
            kind = kind_of(name, photos)[1]
            cells = {measure: estimate(*by_person(reports, kind, measure)) for measure in MEASURES}
            if any(cells.values()):
                numbers["photos"][photos] = {measure: cell for measure, cell in cells.items() if cell}
        most = PHOTOS[-1]
        own = kind_of(name, most)[1]
        numbers["over_another_person"] = {
            measure: cell
            for measure in MEASURES
            if (cell := difference(by_person(reports, own, measure), by_person(reports, "other_person", measure)))
        }
        if name != OMNI_ID and OMNI_ID in found:
            seeds = [seed for seed in sorted(reports) if seed in found[OMNI_ID]]
            numbers["less_omni_id"] = {
                measure: cell
                for measure in MEASURES
                if seeds
                and (
                    cell := difference(
                        by_person(reports, own, measure, seeds),
                        by_person(found[OMNI_ID], {"photos": most}, measure, seeds),
                    )
                )
            }
        if name != AVERAGED[0]:
            any_report = next(iter(reports.values()))
            for angle in any_report["people"][0]["generation"]["angles"]:
                if angle["drawn"] != own:
                    continue
                cells = {
                    measure: estimate(*by_person(reports, own, measure, angle=angle["from"])) for measure in MEASURES
                }
                numbers["angles"][f"{angle['from']:.0f}–{angle['to']:.0f}°"] = {
                    measure: cell for measure, cell in cells.items() if cell
                }
            for line in any_report["people"][0]["verification"]:
                if line["descriptor"] == "identity tokens":
                    numbers["auc"][line["photos"]] = auc(reports, line["photos"])
        result[name] = numbers
    return result


def auc(reports, photos):
    """How well tokens tell people apart, by seed."""
    lines = [line for report in reports.values() for line in report["people"][0]["verification"]]
    found = [line for line in lines if line["descriptor"] == "identity tokens" and line["photos"] == photos]
    values = [line["auc"]["value"] for line in found]
    return {"value": mean(values), "seeds": values}


def verdicts(numbers):
    """Which encoders are better than Omni-ID, which worse, as far as the interval of the difference excludes 0 and the
    seeds agree about its sign."""
    sentences = []
    for measure, what in SAID.items():
        better, worse, open_ = [], [], []
        for name, own in numbers.items():
            cell = own.get("less_omni_id", {}).get(measure)
            if cell is None:
                continue
            sign = -1 if measure in ERRORS else 1
            low, high = sorted((sign * cell["low"], sign * cell["high"]))
            agree = len({value > 0 for value in cell["seeds"]}) == 1
            list_ = better if low > 0 and agree else worse if high < 0 and agree else open_
            list_.append(name)
        groups = [("worse than Omni-ID", worse), ("better than Omni-ID", better), ("undecided", open_)]
        text = "; ".join(f"{what}: {', '.join(names)}" for what, names in groups if names)
        if text:
            sentences.append(f"{what}, {PHOTOS[-1]} photos. {text[0].upper()}{text[1:]}.")
    return sentences
