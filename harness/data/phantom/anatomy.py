"""A schematic chest, level by level, in Hounsfield units.

Levels run from 0 (apex of the lungs) to 1 (their bases). Positions are those of a middling adult in mm, read off
textbook cross-sections to the nearest few; a `Body` scales and bends them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.data.phantom.draws import Draws
from harness.data.phantom.fields import Ellipse, Grid, coverage, keyed, noise, paint, union

__all__ = ["AIR_HU", "HILUM_LEVEL", "LUNG_HEIGHT_MM", "Body", "Chest", "chest", "lung"]

AIR_HU = -1000.0
FAT_HU = -100.0
MUSCLE_HU = 50.0
LUNG_HEIGHT_MM = 230.0
HILUM_LEVEL = 0.46

Keys = Sequence[tuple[float, ...]]

SIDES = (-1, 1)
"""The patient's right (to the image's left) and left."""

OUTLINE = [(0.0, 208, 100), (0.12, 200, 108), (0.3, 184, 117), (0.6, 176, 119), (1.0, 174, 121)]
"""Level; half width and half depth of the thorax without subcutaneous fat."""

LUNG = [
    (0.0, 52, 16, 30, 36),
    (0.1, 60, 13, 48, 60),
    (0.25, 69, 7, 64, 81),
    (0.45, 74, 3, 74, 93),
    (0.7, 76, 1, 79, 98),
    (1.0, 77, 2, 80, 99),
]
"""Level; centre and half axes of the left lung's outer border."""

MEDIASTINUM: dict[str, Keys] = {
    "column": [(0.0, 0, 14, 24, 34), (0.2, 0, 14, 21, 30), (0.4, 0, 16, 18, 28), (1.0, 2, 20, 17, 26)],
    "anterior": [
        (0.0, 0, -44, 40, 34),
        (0.15, 0, -44, 28, 40),
        (0.3, 0, -56, 17, 40),
        (0.5, 1, -72, 9, 34),
        (1.0, 2, -76, 12, 32),
    ],
    "right-hilum": [
        (0.34, -30, 2, 4, 4),
        (0.44, -38, 0, 17, 20),
        (0.58, -38, 6, 14, 18),
        (0.72, -36, 8, 6, 8),
    ],
    "left-hilum": [(0.34, 30, 2, 4, 4), (0.42, 38, 0, 15, 18), (0.56, 40, 8, 13, 17), (0.7, 38, 8, 6, 8)],
}
"""What keeps the lungs apart, filled with fat: level; centre and half axes."""

VESSELS: dict[str, Keys] = {
    "brachiocephalic": [(0.0, -14, -6, 6, 7), (0.18, -20, -24, 9, 8), (0.22, -22, -20, 5, 5)],
    "carotid": [(0.0, 12, -4, 5, 5), (0.2, 8, -20, 5, 5)],
    "cava": [(0.17, -26, -18, 8, 9), (0.5, -28, -18, 10, 11), (0.56, -26, -16, 8, 8)],
    "ascending": [
        (0.31, -8, -26, 12, 14),
        (0.38, -12, -28, 17, 17),
        (0.56, -8, -26, 17, 17),
        (0.62, 0, -24, 14, 14),
    ],
    "descending": [(0.28, 24, 36, 10, 12), (0.36, 25, 38, 12.5, 12.5), (1.0, 14, 36, 11.5, 11.5)],
    "pulmonary": [(0.36, 18, -26, 8, 8), (0.42, 20, -32, 15, 15), (0.54, 16, -38, 14, 14)],
    "right-pulmonary": [(0.41, -12, -4, 20, 5), (0.45, -14, -4, 34, 10), (0.5, -16, -2, 26, 6)],
    "right-atrium": [
        (0.52, -14, -22, 8, 12),
        (0.6, -22, -22, 26, 32),
        (0.8, -24, -24, 32, 38),
        (0.96, -20, -28, 30, 36),
    ],
    "lower-cava": [(0.76, -24, 6, 11, 10), (1.0, -24, 4, 14, 13)],
}
"""Blood outside the left heart; each exists from its first to its last level only."""

ARCH = [(0.23, 8, 2, 8, 20), (0.27, 9, 3, 14, 42), (0.31, 10, 6, 12, 40), (0.33, 10, 8, 6, 20)]
HEART = [(0.54, 6, -30, 14, 12), (0.62, 16, -30, 46, 36), (0.78, 24, -34, 62, 44), (1.0, 26, -42, 58, 34)]
OESOPHAGUS = [(0.0, 3, 28, 6, 4.5), (1.0, 8, 26, 8, 6)]
TRACHEA = [(0.0, 0, 10, 8.5, 9.5), (0.33, 1, 10, 9.0, 9.0), (0.38, 1, 9, 15, 8)]
MAIN_BRONCHUS = [
    (0.38, 11, 8, 8.5, 7),
    (0.43, 20, 7, 8.5, 6.5),
    (0.5, 27, 8, 6.0, 5.5),
    (0.58, 32, 12, 4.0, 4.0),
]
SPINE_Y = 52.0

LEAN_FROM_MM, LEAN = 15, 0.38
"""How far before the middle the lungs begin to lean to each other, and by how much."""


@dataclass(frozen=True)
class Body:
    """How one patient differs from the middling adult; lengths in mm, factors around 1."""

    size: float
    depth: float
    fat_mm: float
    muscle: float
    lung_width: float
    heart: float
    shift_mm: float
    lung_hu: float
    gravity_hu: float
    blood_hu: float
    bone_hu: float
    dome_level: float
    breast_mm: float
    turn: tuple[float, float]
    arms_down: bool

    @classmethod
    def drawn(cls, draws: Draws) -> Body:
        tangent = draws.uniform(-0.07, 0.07)
        cosine = 1 / math.sqrt(1 + tangent * tangent)
        return cls(
            size=draws.uniform(0.86, 1.14),
            depth=draws.uniform(0.9, 1.14),
            fat_mm=draws.uniform(3, 26),
            muscle=draws.uniform(0.8, 1.25),
            lung_width=draws.uniform(0.93, 1.06),
            heart=draws.uniform(0.85, 1.2),
            shift_mm=draws.uniform(-6, 6),
            lung_hu=draws.uniform(-890, -815),
            gravity_hu=draws.uniform(10, 75),
            blood_hu=draws.pick({40.0: 5, 160.0: 2, 280.0: 2}) + draws.uniform(-10, 10),
            bone_hu=draws.uniform(420, 800),
            dome_level=draws.uniform(0.74, 0.95),
            breast_mm=draws.uniform(4, 24) if draws.chance(0.45) else 0.0,
            turn=(cosine, cosine * tangent),
            arms_down=draws.chance(0.12),
        )


@dataclass(frozen=True)
class Chest:
    """One level of one body on a grid, the lungs still empty.

    `hu` (H, W); `lungs`: their field, mm, positive inside; `air`: which part of a pixel they fill, 0 to 1.
    """

    hu: np.ndarray
    lungs: np.ndarray
    air: np.ndarray
    grid: Grid
    level: float


def chest(body: Body, level: float, grid: Grid, draws: Draws) -> Chest:
    """Return everything but the insides of the lungs."""
    x, y = grid.coordinates()
    cavity = _cavity(body, level, x, y)
    middle, dome = _mediastinum(body, level, grid), _domes(body, level, x, y)
    hu = _wall(body, level, grid, cavity, draws)
    hu += coverage(middle, 4.0) * (FAT_HU + 20 - hu) * (cavity > -6)
    hu += coverage(dome, 5.0) * (60 - hu) * (cavity > -4)
    _bones(hu, body, level, grid, draws)
    _vessels(hu, body, level, grid)
    lungs = np.minimum(np.minimum(cavity, -middle), -dome)
    air = coverage(np.minimum(cavity, -middle), 1.8) * (1 - coverage(dome, 7.0))
    return Chest(hu, lungs, air, grid, level)


def lung(body: Body, level: float, side: int) -> Ellipse:
    """Return the outer border of a lung (-1: right) as if nothing lay between the two."""
    x, y, a, b = keyed(level, LUNG)
    return Ellipse(side * x * body.lung_width, y, a * body.lung_width, b)


def _cavity(body: Body, level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the field of the pleural cavities: rounded boxes whose front leans to the midline."""
    forward = np.maximum(-y - LEAN_FROM_MM, 0.0) * LEAN
    right, left = (lung(body, level, side) for side in SIDES)
    return np.maximum(
        (1 - _boxy(right, x - forward, y)) * right.a, (1 - _boxy(left, x + forward, y)) * left.a
    )


def _boxy(shape: Ellipse, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the radius of a shape between an ellipse and a rectangle (norms 2 and 4, averaged)."""
    u, v = (x - shape.x) / shape.a, (y - shape.y) / shape.b
    u, v = u * u, v * v
    return 0.6 * np.sqrt(u + v) + 0.4 * np.sqrt(np.sqrt(u * u + v * v))


def _shape(body: Body, level: float, keys: Keys) -> Ellipse:
    x, y, a, b = keyed(level, keys)
    return Ellipse(x + body.shift_mm, y, a, b)


def _present(level: float, keys: Keys) -> bool:
    return keys[0][0] <= level <= keys[-1][0]


def _great_vessels(body: Body, level: float) -> list[Ellipse]:
    """Return the vessels and chambers that this level cuts."""
    found = [_shape(body, level, keys) for keys in VESSELS.values() if _present(level, keys)]
    if _present(level, ARCH):
        arch = _shape(body, level, ARCH)
        found.append(Ellipse(arch.x, arch.y, arch.a, arch.b, 0.9, 0.436))
    if _present(level, HEART):
        heart = _shape(body, level, HEART)
        found.append(Ellipse(heart.x, heart.y, heart.a * body.heart, heart.b * body.heart, 0.93, 0.368))
    return found


def _mediastinum(body: Body, level: float, grid: Grid) -> np.ndarray:
    """Return the field of what parts the lungs: spine, fat, vessels and heart."""
    field = np.full((grid.height, grid.width), -60.0, np.float32)
    spine = [Ellipse(0, SPINE_Y, 24, 22), Ellipse(0, SPINE_Y + 34, 33, 30)]
    fat = [_shape(body, level, keys) for keys in MEDIASTINUM.values() if _present(level, keys)]
    for shape in [*spine, *fat, *(vessel.grown(2.5) for vessel in _great_vessels(body, level))]:
        box = grid.box(shape.x, shape.y, shape.reach + 30)
        x, y = grid.coordinates(box)
        field[box] = union(field[box], shape.field(x, y), 7.0)
    return field


def _domes(body: Body, level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the field of what the diaphragm lifts into this level: liver and spleen."""
    field = np.full(x.shape, -60.0, np.float32)
    for centre, below in ((Ellipse(-62, -16, 64, 66), 0.0), (Ellipse(68, -18, 56, 62), 0.06)):
        height = level - body.dome_level - below
        if height > 0:
            grown = math.sqrt(min(height / 0.22, 1.2))
            shape = Ellipse(centre.x, centre.y, centre.a * grown + 2, centre.b * grown + 2)
            field = np.maximum(field, shape.field(x, y))
    return field


def _outline(body: Body, level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the field of the skin."""
    width, depth = keyed(level, OUTLINE)
    trunk = Ellipse(0, 6, width + body.fat_mm, depth + 0.55 * body.fat_mm)
    field = (1 - _boxy(trunk, x, y)) * trunk.b
    if body.breast_mm and 0.25 < level < 0.85:
        for side in SIDES:
            breast = Ellipse(side * 88, -trunk.b + 26, 66, body.breast_mm + 18)
            field = union(field, breast.field(x, y), 12.0)
    return field


def _wall(body: Body, level: float, grid: Grid, cavity: np.ndarray, draws: Draws) -> np.ndarray:
    """Return HU of the trunk filled with fat and muscle."""
    x, y = grid.coordinates()
    skin = _outline(body, level, x, y)
    grain = noise(draws, grid, 22.0)
    thick = 14.0 * body.muscle + 8.0 * grain + (10.0 if level < 0.35 else 0.0)
    core = union(cavity, Ellipse(0, 18, 70, 88).field(x, y), 20.0)
    muscle = coverage(np.minimum(core + thick, skin - 4), 4.0)
    planes = np.maximum(1 - np.abs(noise(draws, grid, 13.0)) / 0.2, 0.0)
    inside = FAT_HU + 12 * grain
    inside += muscle * (MUSCLE_HU - 90 * planes * (cavity < -7) - inside)
    inside += coverage(2.5 - np.abs(skin), 2.5) * (10 - inside)
    hu = AIR_HU + coverage(skin, 2.0) * (inside - AIR_HU)
    return _with_arms(hu, body, level, x, y) if body.arms_down else hu


def _with_arms(hu: np.ndarray, body: Body, level: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    width = keyed(level, OUTLINE)[0] + body.fat_mm
    for side in SIDES:
        arm = Ellipse(side * (width + 44), 24, 36 + 0.3 * body.fat_mm, 40 + 0.3 * body.fat_mm)
        bone = Ellipse(arm.x, arm.y, 11, 11)
        layers = [(arm, FAT_HU), (arm.grown(-8), MUSCLE_HU), (bone, body.bone_hu), (bone.grown(-5), 60.0)]
        for shape, value in layers:
            hu = hu + coverage(shape.field(x, y), 2.0) * (value - hu)
    return hu


def _bone(hu: np.ndarray, grid: Grid, shape: Ellipse, cortex_hu: float, cortex_mm: float = 2.2) -> None:
    paint(hu, grid, shape, cortex_hu)
    paint(hu, grid, shape.grown(-cortex_mm), 0.42 * cortex_hu)


def _bones(hu: np.ndarray, body: Body, level: float, grid: Grid, draws: Draws) -> None:
    _spine(hu, body, grid)
    for side in SIDES:
        paint(hu, grid, Ellipse(side * 33, SPINE_Y + 44, 22, 13, 0.97, 0.243 * side), MUSCLE_HU, 4.0)
        _ribs(hu, body, level, grid, side, draws)
        if level < 0.5:
            _scapula(hu, body, level, grid, side)
        if level < 0.12:
            clavicle = Ellipse(side * (62 + 300 * level), -62 + 60 * level, 34, 6, 0.9, 0.436 * side)
            _bone(hu, grid, clavicle, body.bone_hu)
    if 0.08 < level < 0.85:
        front = -lung(body, level, 1).b + keyed(level, LUNG)[1] - 12
        _bone(hu, grid, Ellipse(0, front, 21 if level < 0.7 else 12, 6.5), 0.7 * body.bone_hu, 1.6)


def _spine(hu: np.ndarray, body: Body, grid: Grid) -> None:
    for side in SIDES:
        _bone(hu, grid, Ellipse(side * 26, SPINE_Y + 26, 17, 5.0, 0.9, 0.436 * side), body.bone_hu)
    paint(hu, grid, Ellipse(0, SPINE_Y + 26, 15, 14), body.bone_hu)
    _bone(hu, grid, Ellipse(0, SPINE_Y + 46, 4, 15), body.bone_hu)
    _bone(hu, grid, Ellipse(0, SPINE_Y, 19, 15.5), 0.8 * body.bone_hu)
    paint(hu, grid, Ellipse(0, SPINE_Y + 24, 10, 9), 25.0)


def _ribs(hu: np.ndarray, body: Body, level: float, grid: Grid, side: int, draws: Draws) -> None:
    """Paint the ribs of one side where this level cuts them: slanting, so longish sections along the wall."""
    border = lung(body, level, side)
    for step in range(6):
        along = (step + draws.uniform(0.1, 0.9)) / 6
        t = 2.0 * along - 1.0
        across, down = side * (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
        if side * across < 0.12:
            continue
        out = 1.0 + 8.0 / (border.a if side * across > 0.7 else border.b)
        ahead = max(-border.y - border.b * down - LEAN_FROM_MM, 0.0) * LEAN
        centre = (border.x + border.a * out * across - side * ahead, border.y + border.b * out * down)
        tangent = (-border.a * down, border.b * across)
        length = math.sqrt(tangent[0] * tangent[0] + tangent[1] * tangent[1])
        half = draws.uniform(8, 17)
        rib = Ellipse(*centre, half, draws.uniform(3.6, 5.0), tangent[0] / length, tangent[1] / length)
        _bone(hu, grid, rib, body.bone_hu, 1.7)


def _scapula(hu: np.ndarray, body: Body, level: float, grid: Grid, side: int) -> None:
    border = lung(body, level, side)
    x, y = side * (abs(border.x) + 0.78 * border.a + 20), border.y + 0.62 * border.b + 22
    blade = Ellipse(x, y, 30 - 26 * level, 3.6, 0.77, -0.638 * side)
    paint(hu, grid, blade.grown(10), MUSCLE_HU, 5.0)
    _bone(hu, grid, blade, body.bone_hu, 1.4)


def _vessels(hu: np.ndarray, body: Body, level: float, grid: Grid) -> None:
    for vessel in _great_vessels(body, level):
        paint(hu, grid, vessel, body.blood_hu, 2.5)
    paint(hu, grid, _shape(body, level, OESOPHAGUS), 40.0)
    if level < TRACHEA[-1][0]:
        _airway(hu, grid, _shape(body, level, TRACHEA))
    elif _present(level, MAIN_BRONCHUS):
        x, y, a, b = keyed(level, MAIN_BRONCHUS)
        for side in SIDES:
            _airway(hu, grid, Ellipse(side * x + body.shift_mm, y, a, b))


def _airway(hu: np.ndarray, grid: Grid, lumen: Ellipse) -> None:
    paint(hu, grid, lumen.grown(1.6), 20.0)
    paint(hu, grid, lumen, AIR_HU + 15)
