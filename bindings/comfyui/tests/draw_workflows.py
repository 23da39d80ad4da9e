#!/usr/bin/env python3
"""Draws the example workflows as ComfyUI shows them: the pictures that its list of templates has beside their names.

    python bindings/comfyui/tests/draw_workflows.py

Writes `example_workflows/NAME.jpg` for each `NAME.json`. Needs Pillow. The pictures show the graph, not a result: they
are made without a model.
"""

import json
import re
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PACK = Path(__file__).resolve().parent.parent
NOTES = {"Note", "MarkdownNote"}
TITLE, SLOT, MARGIN, WIDTH = 30, 20, 40, 1200
COLOURS = {"MODEL": "#b39ddb", "CLIP": "#ffd500", "VAE": "#ff6e6e", "CONDITIONING": "#ffa931", "LATENT": "#ff9cf9",
           "IMAGE": "#64b5f6", "MASK": "#81c784", "OMNIID_MODEL": "#4db6ac", "OMNIID_IDENTITY": "#ff8a65"}  # fmt: skip


def titles():
    """Display names of the pack's nodes, read without importing ComfyUI."""
    text = (PACK / "nodes" / "__init__.py").read_text(encoding="utf-8")
    return dict(re.findall(r'"(OmniID\w+)": \(\w+, "([^"]+)"\)', text))


def write_note(pen, font, text, place):
    """The words of a note, broken at the width of its node."""
    x, y, width = place
    for paragraph in text.split("\n"):
        line = ""
        for word in [*paragraph.split(" "), None]:
            longer = f"{line} {word}".strip()
            if word is None or pen.textlength(longer, font) > width:
                pen.text((x, y), line, "#cccccc", font)
                line, y = word or "", y + 18
            else:
                line = longer


def draw(workflow, names):
    """The picture of a workflow in ComfyUI's format, WIDTH pixels wide."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    left = min(node["pos"][0] for node in nodes.values()) - MARGIN
    top = min(node["pos"][1] for node in nodes.values()) - MARGIN - TITLE
    right = max(node["pos"][0] + node["size"][0] for node in nodes.values()) + MARGIN
    bottom = max(node["pos"][1] + node["size"][1] for node in nodes.values()) + MARGIN
    image = Image.new("RGB", (round(right - left), round(bottom - top)), "#1e1e1e")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)

    def slot(node, side, number):
        x = node["pos"][0] - left + (node["size"][0] if side == "outputs" else 0)
        return x, node["pos"][1] - top + 14 + SLOT * number

    for node in nodes.values():
        x, y = node["pos"][0] - left, node["pos"][1] - top
        width, height = node["size"]
        ours = node["type"].startswith("OmniID")
        pen.rounded_rectangle((x, y - TITLE, x + width, y + height), 8, "#353535", "#4db6ac" if ours else "#101010", 2)
        pen.rounded_rectangle((x, y - TITLE, x + width, y), 8, "#2b4b48" if ours else "#2a2a2a")
        pen.text((x + 12, y - TITLE / 2), names.get(node["type"], node["type"]), "#dddddd", font, anchor="lm")
        rows = 0
        for side, anchor, shift in (("inputs", "lm", 12), ("outputs", "rm", -12)):
            for number, entry in enumerate(node.get(side) or []):
                a, b = slot(node, side, number)
                pen.text((a + shift, b), entry["name"], "#aaaaaa", font, anchor=anchor)
                rows = max(rows, number + 1)
        line = y + 14 + SLOT * rows
        if node["type"] in NOTES:
            write_note(pen, font, node["widgets_values"][0], (x + 12, y + 10, width - 24))
            continue
        for value in node.get("widgets_values") or []:
            if line + SLOT / 2 > y + height:
                break
            pen.rounded_rectangle((x + 10, line - 8, x + width - 10, line + 9), 8, "#222222")
            text = str(value).replace("\n", " ")
            while text and pen.textlength(text, font) > width - 40:
                text = text[:-1]
            pen.text((x + 20, line), text, "#cccccc", font, anchor="lm")
            line += SLOT + 2
    for _, start, output, end, entry, kind in workflow["links"]:
        (a, b), (c, d) = slot(nodes[start], "outputs", output), slot(nodes[end], "inputs", entry)
        colour, bend = COLOURS.get(kind, "#999999"), max(40, abs(c - a) / 3)
        points = []
        for step in range(33):
            t = step / 32
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            points.append((sum(w * p for w, p in zip(weights, (a, a + bend, c - bend, c))),
                           sum(w * p for w, p in zip(weights, (b, b, d, d)))))  # fmt: skip
        pen.line(points, colour, 3, "curve")
        for x, y in ((a, b), (c, d)):
            pen.ellipse((x - 5, y - 5, x + 5, y + 5), colour)
    return image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)


def main():
    for path in sorted((PACK / "example_workflows").glob("*.json")):
        draw(json.loads(path.read_text(encoding="utf-8")), titles()).save(path.with_suffix(".jpg"), quality=88)


if __name__ == "__main__":
    main()
