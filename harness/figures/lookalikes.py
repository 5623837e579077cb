"""Pictures that papers print beside CT, made at random: what the model of CT learns to tell CT from.

Charts in many styles, tables, diagrams, radiographs, head scans, micrographs, gels, ultrasound, photographs. The
scans are drawn from simple shapes; they stand in for material whose licences would not let a model be trained on
it. Photographs and one head scan are cut out of the samples that scikit-learn and matplotlib ship.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["KINDS", "lookalike"]

Pixels = NDArray[np.uint8]
Field = NDArray[np.float64]


def lookalike(kind: str, random: np.random.Generator) -> Pixels:
    """One picture of a kind (a key of KINDS): uint8, grey or RGB."""
    return KINDS[kind](random)


def _chart(random: np.random.Generator) -> Pixels:
    import matplotlib as mpl
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    looks = ["default", "classic", "ggplot", "bmh", "grayscale", "dark_background", "seaborn-v0_8-whitegrid"]
    with mpl.rc_context(), style.context(str(random.choice(looks))):
        size = (float(random.uniform(2.5, 6)), float(random.uniform(2, 5)))
        figure = Figure(figsize=size, dpi=int(random.integers(50, 120)))
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _CHARTS[int(random.integers(len(_CHARTS)))](axes, random)
        if random.random() < 0.7:
            axes.set_xlabel("Days after onset")
            axes.set_ylabel("Patients")
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _bars(axes: Axes, random: np.random.Generator) -> None:
    count = int(random.integers(3, 14))
    axes.bar(range(count), random.random(count), color=random.random((count, 3)), edgecolor="black")


def _lines(axes: Axes, random: np.random.Generator) -> None:
    for number in range(int(random.integers(1, 6))):
        axes.plot(np.cumsum(random.normal(size=40)), label=f"group {number}")
    axes.legend()


def _points(axes: Axes, random: np.random.Generator) -> None:
    count = int(random.integers(20, 800))
    x, y = random.normal(size=(2, count))
    axes.scatter(x, y, s=random.uniform(2, 40), c=random.random(count))


def _heat(axes: Axes, random: np.random.Generator) -> None:
    rows, columns = (int(n) for n in random.integers(3, 30, size=2))
    maps = ["viridis", "hot", "gray", "coolwarm", "Greys"]
    axes.imshow(random.random((rows, columns)), cmap=str(random.choice(maps)), aspect="auto")


def _boxes(axes: Axes, random: np.random.Generator) -> None:
    axes.boxplot([random.normal(size=30) for _ in range(int(random.integers(2, 7)))])


def _area(axes: Axes, random: np.random.Generator) -> None:
    height = np.abs(np.cumsum(random.normal(size=60)))
    axes.fill_between(range(60), height * 0.7, height * 1.3, color=str(random.uniform(0.4, 0.9)))
    axes.plot(height, "k")


def _histogram(axes: Axes, random: np.random.Generator) -> None:
    axes.hist(random.normal(size=500), bins=int(random.integers(8, 40)), color=tuple(random.random(3)))


_CHARTS: list[Callable[[Any, np.random.Generator], None]] = [
    _bars,
    _lines,
    _points,
    _heat,
    _boxes,
    _area,
    _histogram,
]


def _table(random: np.random.Generator) -> Pixels:
    """A page of words and numbers, with or without rules."""
    width, height = int(random.integers(250, 700)), int(random.integers(150, 600))
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    size = int(random.integers(9, 20))
    font = ImageFont.load_default(size)
    for top in range(4, height - size, int(size * random.uniform(1.2, 2.0))):
        for left in range(4, width - 60, int(random.integers(60, 160))):
            draw.text((left, top), f"{random.normal() * 40:.2f}", fill="black", font=font)
        if random.random() < 0.3:
            draw.line((0, top, width, top), fill="black")
    return np.asarray(page)


def _diagram(random: np.random.Generator) -> Pixels:
    """Boxes, circles and arrows on white."""
    width, height = (int(n) for n in random.integers(250, 700, size=2))
    page = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(page)
    for _ in range(int(random.integers(4, 16))):
        x, y = int(random.integers(width - 60)), int(random.integers(height - 40))
        box = (x, y, x + int(random.integers(40, 200)), y + int(random.integers(20, 120)))
        colour = tuple(int(v) for v in random.integers(80, 256, size=3))
        shape = draw.ellipse if random.random() < 0.4 else draw.rectangle
        shape(box, fill=colour if random.random() < 0.6 else None, outline="black", width=2)
        draw.text((x + 6, y + 6), "Patients", fill="black")
        draw.line((x, y, int(random.integers(width)), int(random.integers(height))), fill="black", width=2)
    return np.asarray(page)


def _grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    return x, y


def _smooth(field: Field, sigma: float) -> Field:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(field, sigma))


def _inside(distance: Field) -> Field:
    """1 well inside a shape, 0 well outside, a soft edge between."""
    return np.asarray(0.5 * (1 + np.tanh(distance / 2)))


def _grey(field: Field, random: np.random.Generator, noise: float) -> Pixels:
    """The field scaled to 0..255 with noise and a gamma, as scanners print it."""
    field = field + random.normal(scale=noise, size=field.shape)
    low, high = np.quantile(field, [0.005, 0.995])
    scaled = np.clip((field - low) / max(high - low, 1e-9), 0, 1) ** random.uniform(0.7, 1.4)
    return np.asarray(np.round(scaled * 255), np.uint8)


def _radiograph(random: np.random.Generator) -> Pixels:
    """A chest from the front: tall lung fields in a body that fills the frame, ribs, spine, heart, diaphragm."""
    shape = (int(random.integers(200, 420)), int(random.integers(200, 420)))
    x, y = _grid(shape)
    x = x * random.uniform(0.95, 1.3) + random.normal(scale=0.05)
    y = y * random.uniform(0.95, 1.25) + random.normal(scale=0.08)
    body = 0.62 - 0.1 * x**2 + 0.12 * y + np.exp(-((x / 0.13) ** 2)) * random.uniform(0.15, 0.3)
    neck = (y < -0.75 + 0.5 * np.abs(x)) & (np.abs(x) > 0.3)
    body = np.where(neck, body - random.uniform(0.2, 0.6), body)
    for side in (-1, 1):
        wide = random.uniform(0.26, 0.36) * (1.1 + 0.35 * y)
        tall = random.uniform(0.6, 0.78)
        lung = ((x - side * random.uniform(0.38, 0.48)) / wide) ** 2 + (y / tall) ** 2
        body = body - random.uniform(0.25, 0.45) * _inside(8 * (1 - lung))
    ribs = np.sin((y - 0.25 * x**2 * random.uniform(0.6, 2)) * random.uniform(16, 26))
    body = body + 0.05 * np.clip(ribs, 0, 1) * (np.abs(x) > 0.12)
    heart = ((x - 0.15) / random.uniform(0.26, 0.38)) ** 2 + ((y - 0.3) / 0.38) ** 2
    body = body + random.uniform(0.1, 0.3) * _inside(10 * (1 - heart))
    body = body + random.uniform(0.1, 0.35) * _inside(14 * (y - 0.62 - 0.1 * np.cos(4 * x)))
    clouds = _smooth(random.normal(size=shape), random.uniform(8, 30))
    body = body + clouds / np.abs(clouds).max() * random.uniform(0, 0.15)
    pixels = _grey(_smooth(body, random.uniform(1, 3)), random, random.uniform(0.002, 0.03))
    return 255 - pixels if random.random() < 0.05 else pixels


def _projection(random: np.random.Generator) -> Pixels:
    """A chest that rays go through, from the front or the side: thicknesses of ellipsoids, added up."""
    shape = (int(random.integers(200, 420)), int(random.integers(200, 420)))
    x, y = _grid(shape)
    lateral = random.random() < 0.35
    body = np.sqrt(np.clip(1 - (x / random.uniform(0.95, 1.4)) ** 4, 0, 1)) * random.uniform(0.9, 1.3)
    body = body * (1 + 0.25 * np.clip(y, 0, 1))
    sides = (0.0, 0.12) if lateral else (-random.uniform(0.36, 0.48), random.uniform(0.36, 0.48))
    for side in sides:
        wide, tall = (
            random.uniform(0.5, 0.7) if lateral else random.uniform(0.28, 0.38),
            random.uniform(0.6, 0.8),
        )
        leaning = x - side + 0.1 * side * y
        body = body - random.uniform(0.35, 0.5) * _thickness(leaning / wide, (y + 0.05) / tall)
    body = body + random.uniform(0.2, 0.5) * _thickness((x - 0.12) / 0.33, (y - 0.3) / 0.36)
    spine = -0.55 if lateral else 0.0
    body = body + random.uniform(0.15, 0.4) * np.exp(-(((x - spine) / 0.1) ** 2)) * (1 + 0.1 * np.sin(28 * y))
    rim = np.sin((y + 0.3 * np.abs(x)) * random.uniform(14, 24))
    body = body + random.uniform(0.01, 0.06) * np.clip(rim, 0, 1) * (np.abs(x) < 0.85)
    body = body + random.uniform(0.2, 0.6) * _inside(18 * (y - 0.62 - 0.1 * np.cos(3 * x)))
    return _grey(
        _smooth(np.clip(body, 0, None) ** random.uniform(0.6, 1.2), random.uniform(0.8, 2)),
        random,
        random.uniform(0, 0.02),
    )


def _thickness(x: Field, y: Field) -> Field:
    return np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))


def _emission(random: np.random.Generator) -> Pixels:
    """PET: a blurred body with hot spots, dark on white or in the colours of glowing iron."""
    shape = (int(random.integers(160, 320)), int(random.integers(180, 400)))
    x, y = _grid(shape)
    field = 0.3 * (np.hypot(x / random.uniform(0.7, 0.95), y / random.uniform(0.6, 0.95)) < 1).astype(float)
    for side in (-0.4, 0.4):
        field = field - random.uniform(0, 0.2) * (np.hypot((x - side) / 0.25, y / 0.5) < 1)
    for _ in range(int(random.integers(1, 7))):
        left, top, size = random.uniform(-0.6, 0.6), random.uniform(-0.6, 0.6), random.uniform(0.04, 0.2)
        field = field + random.uniform(0.3, 2.0) * (np.hypot((x - left) / size, (y - top) / size) < 1)
    grey = _grey(_smooth(field, random.uniform(4, 12)), random, random.uniform(0, 0.01))
    if random.random() < 0.5:
        return 255 - grey
    heat = grey[..., None] / 255.0 * 3 - np.array([0.0, 1.0, 2.0])
    return np.asarray(np.clip(heat, 0, 1) * 255, np.uint8)


def _head(random: np.random.Generator) -> Pixels:
    """A head on black: bright rim, folded tissue, dark ventricles."""
    shape = (int(random.integers(180, 360)), int(random.integers(160, 320)))
    x, y = _grid(shape)
    radius = np.hypot(x / random.uniform(0.62, 0.85), y / random.uniform(0.75, 0.92))
    folds = _smooth(random.normal(size=shape), random.uniform(2, 5))
    brain = np.where(radius < 0.85, 0.5 + 0.25 * folds / np.abs(folds).max(), 0.0)
    rim = np.where((radius > 0.9) & (radius < 1.0), random.uniform(0.5, 1.0), 0.0)
    hole = np.hypot((np.abs(x) - 0.12) / 0.07, y / 0.25) < 1
    brain = np.where(hole, random.choice([0.1, 0.9]), brain)
    return _grey(_smooth(brain + rim, random.uniform(0.6, 1.6)), random, random.uniform(0.005, 0.04))


def _resonance(random: np.random.Generator) -> Pixels:
    """MRI of a trunk: a bright rim of fat, organs of many greys, bright or black vessels, lungs without structure."""
    shape = (int(random.integers(160, 380)), int(random.integers(180, 420)))
    x, y = _grid(shape)
    x, y = x + random.normal(scale=0.1), y + random.normal(scale=0.1)
    radius = np.hypot(x / random.uniform(0.75, 1.3), y / random.uniform(0.65, 1.3))
    field = np.where(radius < 1, random.uniform(0.15, 0.5), 0.0)
    for _ in range(int(random.integers(5, 16))):
        left, top, turn = random.uniform(-0.6, 0.6), random.uniform(-0.6, 0.6), random.uniform(0, np.pi)
        along = (x - left) * np.cos(turn) + (y - top) * np.sin(turn)
        across = (y - top) * np.cos(turn) - (x - left) * np.sin(turn)
        inside = np.hypot(along / random.uniform(0.05, 0.5), across / random.uniform(0.04, 0.3)) < 1
        field = np.where(inside & (radius < 0.92), random.uniform(0.0, 1.0), field)
    rim = (radius > random.uniform(0.85, 0.95)) & (radius < 1)
    field = np.where(rim, random.uniform(0.5, 1.0), field)
    grain = _smooth(random.normal(size=shape), random.uniform(0.7, 3))
    field = field * (1 + random.uniform(0.05, 0.3) * grain / np.abs(grain).max())
    coil = 1 + random.uniform(-0.5, 0.5) * x + random.uniform(-0.5, 0.5) * y
    return _grey(_smooth(field * coil, random.uniform(0.5, 1.8)), random, random.uniform(0.002, 0.03))


def _tissue(random: np.random.Generator) -> Pixels:
    """Stained tissue: winding bands, gaps and dark nuclei, in colour or grey."""
    shape = (int(random.integers(150, 400)), int(random.integers(150, 400)))
    bands = _smooth(random.normal(size=shape), random.uniform(3, 16))
    bands = np.abs(bands / np.abs(bands).max())
    nuclei = _smooth((random.random(shape) > random.uniform(0.97, 0.995)).astype(float), random.uniform(1, 3))
    fibres = _smooth(random.normal(size=shape), random.uniform(0.6, 2))
    dark = np.clip(1 - bands * random.uniform(1.5, 4), 0, 1) * random.uniform(0.3, 0.8)
    dark = dark + nuclei / nuclei.max() * random.uniform(0.3, 0.9) + 0.1 * fibres / np.abs(fibres).max()
    grey = 1 - np.clip(dark, 0, 1)[..., None]
    if random.random() < 0.4:
        return np.asarray(grey[..., 0] * 255, np.uint8)
    stain = np.array([random.uniform(0.3, 0.9), random.uniform(0.0, 0.6), random.uniform(0.2, 0.8)])
    return np.asarray((stain + grey * (0.95 - stain)) * 255, np.uint8)


def _sample_head(random: np.random.Generator) -> Pixels:
    """The head scan that matplotlib ships, cut, turned and brightened at random."""
    from matplotlib import cbook

    with gzip.open(str(cbook.get_sample_data("s1045.ima.gz", asfileobj=False))) as file:
        values = np.frombuffer(file.read(), np.uint16).reshape(256, 256).astype(np.float64)
    return _view(np.asarray(_grey(values, random, 3.0)), random)


def _micrograph(random: np.random.Generator) -> Pixels:
    """Stained or fluorescent cells, in colour or grey."""
    shape = (int(random.integers(150, 400)), int(random.integers(150, 400)))
    cells = _smooth((random.random(shape) > 0.995).astype(float), random.uniform(2, 7))
    texture = _smooth(random.normal(size=shape), random.uniform(1, 5))
    field = cells / cells.max() + texture / np.abs(texture).max() * random.uniform(0, 0.6)
    grey = _grey(field, random, 0.02).astype(np.float64) / 255
    if random.random() < 0.3:
        return np.asarray(grey * 255, np.uint8)
    back, front = random.random((2, 3))
    back, front = (back * 0.1, front) if random.random() < 0.5 else (0.8 + 0.2 * back, front * 0.7)
    return np.asarray((back + grey[..., None] * (front - back)) * 255, np.uint8)


def _gel(random: np.random.Generator) -> Pixels:
    """Lanes of dark or bright bands."""
    shape = (int(random.integers(80, 300)), int(random.integers(150, 400)))
    field = np.zeros(shape)
    lanes = int(random.integers(3, 12))
    for lane in range(lanes):
        left = int((lane + 0.2) * shape[1] / lanes)
        right = max(int((lane + 0.8) * shape[1] / lanes), left + 2)
        for _ in range(int(random.integers(1, 5))):
            top = int(random.integers(0, shape[0] - 8))
            field[top : top + int(random.integers(3, 8)), left:right] += random.uniform(0.3, 1)
    pixels = _grey(_smooth(field, random.uniform(1, 3)), random, random.uniform(0.005, 0.05))
    return 255 - pixels if random.random() < 0.7 else pixels


def _ultrasound(random: np.random.Generator) -> Pixels:
    """A fan of speckle on black."""
    shape = (int(random.integers(180, 400)), int(random.integers(180, 400)))
    x, y = _grid(shape)
    radius, angle = np.hypot(x, y + 1.1), np.arctan2(x, y + 1.1)
    speckle = np.abs(_smooth(random.normal(size=shape), random.uniform(0.8, 2.0)))
    layers = 0.5 + 0.5 * np.sin(radius * random.uniform(8, 30)) * random.random()
    fan = (np.abs(angle) < random.uniform(0.5, 0.9)) & (radius > 0.25) & (radius < 2.0)
    return _grey(np.where(fan, speckle / speckle.max() * layers, 0.0), random, 0.004)


def _photograph(random: np.random.Generator) -> Pixels:
    """Part of a photograph, in colour or grey."""
    import matplotlib as mpl
    from sklearn.datasets import load_sample_images

    photographs = [np.asarray(image) for image in load_sample_images().images]
    hopper = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photographs.append(np.asarray(Image.open(hopper).convert("RGB")))
    return _view(photographs[int(random.integers(len(photographs)))], random)


def _view(picture: Pixels, random: np.random.Generator) -> Pixels:
    """A random part of a picture, mirrored, resized and in half the cases without its colours."""
    height, width = picture.shape[:2]
    high, wide = (int(n * random.uniform(0.35, 1.0)) for n in (height, width))
    top, left = int(random.integers(height - high + 1)), int(random.integers(width - wide + 1))
    part = Image.fromarray(picture[top : top + high, left : left + wide])
    part = part.resize((int(random.integers(120, 400)), int(random.integers(120, 400))))
    if random.random() < 0.5:
        part = part.convert("L")
    pixels = np.asarray(part)
    return np.ascontiguousarray(pixels[:, ::-1]) if random.random() < 0.5 else pixels


KINDS: dict[str, Callable[[np.random.Generator], Pixels]] = {
    "chart": _chart,
    "table": _table,
    "diagram": _diagram,
    "radiograph": _radiograph,
    "projection": _projection,
    "emission": _emission,
    "head": _head,
    "sample-head": _sample_head,
    "micrograph": _micrograph,
    "gel": _gel,
    "ultrasound": _ultrasound,
    "photograph": _photograph,
    "resonance": _resonance,
    "tissue": _tissue,
}
