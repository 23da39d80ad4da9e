"""The control picture of InstantID: five keypoints and four limbs, drawn by OpenCV with the parameters that InstantID
uses (limbs from the nose, half width 4, weight 0.6, discs of radius 10)."""

import json
import math

import cv2
import numpy as np

NAME = "keypoints"

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]
NOSE, HALF_WIDTH, WEIGHT, RADIUS = 2, 4, 0.6, 10

# The face template of 112 pixels, as a shape to scale, turn and shift.
FACE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]])


def add_options(group):
    group.add_argument("--keypoints-cases", type=int, default=12, help="pictures")


def draw(width, height, points):
    picture = np.zeros((height, width, 3))
    for end in (0, 1, 3, 4):
        (x0, y0), (x1, y1) = points[end], points[NOSE]
        length = ((x0 - x1) ** 2 + (y0 - y1) ** 2) ** 0.5
        angle = math.degrees(math.atan2(y0 - y1, x0 - x1))
        center = int(np.mean(np.array([x0, x1]))), int(np.mean(np.array([y0, y1])))
        outline = cv2.ellipse2Poly(center, (int(length / 2), HALF_WIDTH), int(angle), 0, 360, 1)
        cv2.fillConvexPoly(picture, outline, COLOURS[end])
    picture = (picture * WEIGHT).astype(np.uint8)
    for (x, y), colour in zip(points, COLOURS):
        cv2.circle(picture, (int(x), int(y)), RADIUS, colour, -1)
    return picture


def generate(folder, options):
    random = np.random.default_rng(options.seed)
    cases = []
    for number in range(options.keypoints_cases):
        width, height = (int(side) for side in random.integers(64, 320, 2))
        turn, scale = random.uniform(-math.pi, math.pi), random.uniform(0.2, 3.0)
        matrix = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        # Every third face reaches out of its picture.
        margin = 0.1 if number % 3 else 1.1
        place = random.uniform(-margin, margin, 2) * (width, height) / 2 + (width / 2, height / 2)
        points = ((FACE - FACE.mean(0)) @ matrix.T + place).astype(np.float32)
        name = f"{number:02}.png"
        cv2.imwrite(str(folder / name), draw(width, height, points)[:, :, ::-1])
        cases.append({"width": width, "height": height, "landmarks": points.tolist(), "picture": name})
    # A face in one point, and one whose limbs are horizontal, vertical and without length.
    for number, points in enumerate([[[40.0, 30.0]] * 5, [[10, 30], [70, 30], [40, 30], [40, 60], [40.5, 30.5]]]):
        name = f"special-{number}.png"
        points = np.array(points, np.float32)
        cv2.imwrite(str(folder / name), draw(96, 64, points)[:, :, ::-1])
        cases.append({"width": 96, "height": 64, "landmarks": points.tolist(), "picture": name})
    (folder / "cases.json").write_text(json.dumps(cases, indent=1) + "\n")
