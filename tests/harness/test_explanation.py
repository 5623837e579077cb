"""Pages and pictures of an explanation: hostile names, what is on them, and that nothing else is needed."""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.explanation_data import ClassRule, Decision, Explained, Prototype, Winner, as_json
from harness.explanation_files import FILES, folder_name, write_explanation
from harness.explanation_html import SIDE_PX, page
from harness.explanation_pictures import decisions_picture, rules_picture

HOSTILE = [
    "<script>alert(1)</script>.png",
    '"><img src=x onerror=alert(1)>.png',
    "' onload='alert(1)",
    "</style><script src=https://example.org/x.js></script>",
    "{{ 7 * 7 }}{% raw %}.png",
    "javascript:alert(1)&lt;.png",
    "line\nbreak\u202e.png",
    "half \udcff of a character.png",
]


class Flat:
    """Images of one grey each: its row."""

    def image(self, row: int) -> np.ndarray:
        return np.full((30, 40), row % 256, np.uint8)


def made(names: list[str], classes: tuple[str, ...] = ("COVID", "non-COVID")) -> Explained:
    """An explanation of two classes in which `names` are prototypes and queries."""
    prototypes = tuple(Prototype(name, 10 + row, 20 - row) for row, name in enumerate(names))
    winners = tuple(Winner(name, prototypes[0], 0.9 - 0.1 * k) for k, name in enumerate(classes))
    return Explained(
        key="k" * 32,
        dataset="made",
        title="Made for a test",
        licence="CC0-1.0",
        protocol="official",
        fold=0,
        folds=1,
        label="xdnn",
        variant=None,
        recipe="quick",
        seed=0,
        classes=classes,
        fitted=200,
        tested=50,
        wrong=1,
        rules=tuple(ClassRule(name, prototypes) for name in classes),
        decisions=tuple(
            Decision(name, 100 + row, classes[row % 2], classes[0], 0.75, winners)
            for row, name in enumerate(names)
        ),
    )


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


class TestHostileNames:
    def everywhere(self) -> Explained:
        found = made(HOSTILE, classes=(HOSTILE[0], HOSTILE[1]))
        return replace(found, title=HOSTILE[3], licence=HOSTILE[1], label=HOSTILE[2], dataset=HOSTILE[1])

    def test_they_make_the_same_elements_as_plain_ones(self) -> None:
        plain = made([f"{n}.png" for n in range(len(HOSTILE))])
        hostile, expected = (Elements(page(e, Flat(), 12)) for e in (self.everywhere(), plain))
        assert [name for name, _ in hostile.found] == [name for name, _ in expected.found]
        assert [sorted(attributes) for _, attributes in hostile.found] == [
            sorted(attributes) for _, attributes in expected.found
        ]

    def test_they_are_read_as_they_are_written(self) -> None:
        text = "".join(Elements(page(self.everywhere(), Flat(), 12)).words)
        for name in HOSTILE[:6]:
            assert name in text

    def test_nothing_is_run_or_loaded(self) -> None:
        elements = Elements(page(self.everywhere(), Flat(), 12))
        assert elements.all("script") == []
        for _, attributes in elements.found:
            assert not [name for name in attributes if name.startswith("on")]
            assert (attributes.get("src") or "data:").startswith("data:")
            assert (attributes.get("href") or "#").startswith("#")

    def test_what_cannot_be_encoded_or_turns_the_text_around_is_replaced(self) -> None:
        text = page(self.everywhere(), Flat(), 12)
        text.encode("utf-8")
        assert "\u202e" not in text
        assert "line�break�.png" in text

    def test_they_can_be_drawn_and_written(self, tmp_path: Path) -> None:
        paths = write_explanation(self.everywhere(), Flat(), tmp_path, prototypes=12)
        assert sorted(path.name for path in paths) == sorted(FILES)
        (folder,) = tmp_path.iterdir()
        assert paths[0].parent == folder
        stored = json.loads((folder / "explanation.json").read_text("utf-8"))
        assert [decision["id"] for decision in stored["decisions"]] == HOSTILE


class TestPage:
    def test_every_image_is_inside_and_has_a_text(self) -> None:
        found = made(["a.png", "b.png", "c.png"])
        images = Elements(page(found, Flat(), 2)).all("img")
        assert len(images) == 2 * 2 + 3 * 3
        assert all(image["alt"] for image in images)
        first = base64.b64decode((images[0]["src"] or "").removeprefix("data:image/jpeg;base64,"))
        with Image.open(io.BytesIO(first)) as image:
            assert image.size == (SIDE_PX, SIDE_PX)
            assert abs(image.getpixel((SIDE_PX // 2, SIDE_PX // 2)) - 10) <= 2

    def test_all_prototypes_are_listed_though_few_are_shown(self) -> None:
        text = page(made([f"{n}.png" for n in range(300)]), Flat(), 4)
        assert all(f"<td><bdi>{n}.png</bdi></td>" in text for n in range(300))
        assert len(Elements(text).all("img")) == 2 * 4 + 3 * 300

    def test_the_decided_class_is_framed_and_said(self) -> None:
        text = page(made(["a.png", "b.png"]), Flat(), 12)
        framed = [image["alt"] for image in Elements(text).all("img") if image.get("class") == "decided"]
        assert framed == ["Most similar prototype of COVID: a.png"] * 2
        assert "This image is COVID and was called COVID (probability 0.750)." in text
        assert "This image is non-COVID, but was called COVID (probability 0.750)." in text

    def test_it_can_be_read_on_a_phone_by_keyboard_and_in_the_dark(self) -> None:
        text = page(made(["a.png"]), Flat(), 12)
        elements = Elements(text)
        assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.all("meta")
        assert "prefers-color-scheme: dark" in text
        assert all(image.get("loading") == "lazy" for image in elements.all("img"))
        assert len(elements.all("details")) == len(elements.all("summary")) == 2
        regions = [div for div in elements.all("div") if div.get("role") == "region"]
        assert len(regions) == 2
        assert all(region["tabindex"] == "0" and region["aria-label"] for region in regions)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_letters_stand_out_from_the_page(self, scheme: str) -> None:
        """Contrast of at least 4.5 to 1 (WCAG 2.2, criterion 1.4.3)."""
        style = page(made(["a.png"]), Flat(), 12).partition("<style>")[2]
        colours = style.split("prefers-color-scheme: dark")[scheme == "dark"].partition("}")[0]
        named = dict(
            part.strip().removeprefix("--").split(": ") for part in colours.split(";") if "#" in part
        )
        named = {name.rpartition("--")[2]: luminance(value.strip()) for name, value in named.items()}
        for ground in ("paper", "box"):
            for letters in ("ink", "faint", "link", "right", "wrong"):
                light, dark = sorted((named[ground], named[letters]), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (ground, letters)


def luminance(colour: str) -> float:
    """Relative luminance of '#rrggbb' (WCAG 2.2)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


class TestPictures:
    @staticmethod
    def greys(picture: Image.Image, of: list[int]) -> Counter[int]:
        """Count the thumbnails of each grey: 176 x 132 px each, the shape of the images."""
        counts = np.bincount(np.asarray(picture).ravel(), minlength=256)
        return Counter({grey: round(counts[grey] / (176 * 132)) for grey in of if counts[grey] > 5000})

    def test_each_class_shows_so_many_prototypes_of_the_largest_support(self) -> None:
        picture = rules_picture(made([f"{n}.png" for n in range(9)]), Flat(), 7)
        assert self.greys(picture, list(range(10, 19))) == Counter(dict.fromkeys(range(10, 17), 2))

    def test_each_decision_shows_its_image_and_the_winner_of_each_class(self) -> None:
        picture = decisions_picture(made(["a.png", "b.png", "c.png"]), Flat())
        assert self.greys(picture, [10, 100, 101, 102]) == Counter({10: 6, 100: 1, 101: 1, 102: 1})

    def test_of_many_classes_the_most_similar_are_drawn(self) -> None:
        classes = tuple(f"class {n}" for n in range(12))
        winners = tuple(
            Winner(name, Prototype("p.png", 10 + k, 1), 0.01 * (k + 1)) for k, name in enumerate(classes)
        )
        found = made(["a.png"], classes)
        found = replace(found, decisions=(replace(found.decisions[0], winners=winners),))
        picture = decisions_picture(found, Flat())
        assert sorted(self.greys(picture, list(range(10, 22)))) == [17, 18, 19, 20, 21]

    @pytest.mark.parametrize("name", ["a.png", "W" * 300, "folder/" * 40 + "x.png", "a b " * 90])
    def test_nothing_runs_into_the_margins_or_the_next_image(self, name: str) -> None:
        found = replace(made([name] * 7), licence=name, title=name)
        for picture in (rules_picture(found, Flat(), 7), decisions_picture(found, Flat())):
            pixels = np.asarray(picture)
            assert (pixels[:, -10:] == 255).all()
            assert (pixels[:, :10] == 255).all()
            assert (pixels[-10:] == 255).all()
        rules = np.asarray(rules_picture(found, Flat(), 7))
        below = rules[-60:]
        for column in range(1, 7):
            x = column * 186
            assert (below[:, x + 1 : x + 9] == 255).all()

    def test_a_class_without_a_prototype_is_a_rule_without_images(self) -> None:
        found = replace(made(["a.png"]), rules=(ClassRule("COVID", ()),))
        assert "nothing seen yet" in found.rules[0].text()
        assert rules_picture(found, Flat(), 12).height > 50
        assert "nothing seen yet" in page(found, Flat(), 12)


class TestData:
    def test_json_says_its_schema_and_keeps_every_number(self) -> None:
        stored = json.loads(json.dumps(as_json(made(["a.png"])), allow_nan=False))
        assert stored["schema_version"] == 1
        assert stored["rules"][0] == {
            "name": "COVID",
            "prototypes": [{"id": "a.png", "row": 10, "support": 20}],
        }
        assert stored["decisions"][0]["winners"][0]["similarity"] == 0.9

    def test_a_folder_is_named_after_what_it_explains(self) -> None:
        found = made(["a.png"])
        assert folder_name(found) == "made-official-xdnn-quick-seed0"
        assert folder_name(replace(found, variant="untuned")) == "made-official-xdnn-untuned-quick-seed0"
        assert folder_name(replace(found, fold=2, folds=5, seed=3)) == "made-official-xdnn-quick-seed3-fold2"

    @pytest.mark.parametrize("label", ["../../up", "a/b", "timm:x.y", "..", "a\nb"])
    def test_no_name_leads_out_of_its_folder(self, label: str) -> None:
        name = folder_name(replace(made(["a.png"]), label=label, dataset=label))
        assert Path(name).name == name
        assert not name.startswith(".")
        assert name.isprintable()
