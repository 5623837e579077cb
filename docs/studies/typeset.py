"""Papers typeset in the manner of many publishers, with known figures: how far the rules of figures reach.

python docs/studies/typeset.py OUT [LOOK...]    # needs pdflatex, chromium and HARNESS_DATA
harness figures extract OUT/*.pdf --out OUT/found && harness figures score OUT/found OUT/truth.json

The words are made up, the slices real (COVID-CT, SARS-CoV-2 CT) and never committed. Where a figure stands is read
from the PDF that was made: every picture has a size in pixels of its own, every chart a link around it that is then
taken out.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pymupdf
from PIL import Image
from typeset_looks import LATEX, PAGES, WEB, Latex, Web

from harness.figures.composites import composite

SIZE_STEP = 3
"""Pixels by which pictures of one paper differ in width, so that each is known by it."""

TALLEST = 1.2
"""Height to width: taller ones would fill a page and leave their captions to the next."""

FINDINGS = (
    "ground-glass opacities in both lower lobes",
    "a consolidation with air bronchogram in the right upper lobe",
    "crazy-paving in the subpleural zones of the left lung",
    "reticulation and a small effusion on the right side",
    "patchy shadows that had grown since the first examination",
    "a nodule of 8 mm with a halo in the lingula",
)
WHO = ("a 45-year-old man", "a woman of 61 years", "patient 3", "a 33-year-old nurse", "the second patient")
WHEN = ("on day 4", "after two weeks of treatment", "at admission", "nine days after the first symptoms")


@dataclass
class Plate:
    """A figure: its file(s), boxes of its panels in pixels (per file), whether it is CT, and its caption's words."""

    number: int
    files: list[Path]
    sizes: list[tuple[int, int]]
    panels: list[list[tuple[int, int, int, int]]]
    is_ct: bool
    text: str
    found: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    whole: tuple[float, ...] = ()


def sentence(random: np.random.Generator) -> str:
    """A sentence of running text."""
    who, what, when = (str(random.choice(np.array(one))) for one in (WHO, FINDINGS, WHEN))
    forms = (
        f"In {who} the scan {when} showed {what}, which the two readers described in the same words.",
        f"Chest CT {when} revealed {what}; the fever of {who} had gone by then.",
        f"We saw {what} in many of those who were examined {when}, as others have reported before.",
        f"The reading of {who} {when} was changed to {what} when the series was complete.",
    )
    return str(forms[int(random.integers(len(forms)))])


def paragraph(random: np.random.Generator, cited: str = "", least: int = 4) -> str:
    said = [sentence(random) for _ in range(int(random.integers(least, least + 5)))]
    if cited:
        said[1] = said[1][:-1] + f" ({cited})."
    return " ".join(said)


def caption_text(random: np.random.Generator, panels: int, long: bool) -> str:
    """A caption's words: a title, what each panel shows, more sentences where it is to be long."""
    title = f"Chest CT of {random.choice(np.array(WHO))}."
    letters = [
        f"({chr(65 + k)}) The image {random.choice(np.array(WHEN))} shows {random.choice(np.array(FINDINGS))}."
        for k in range(min(panels, 6) if panels > 1 else 0)
    ]
    more = [
        sentence(random) for _ in range(int(random.integers(6, 9)) if long else int(random.integers(0, 2)))
    ]
    return " ".join([title, *letters, *more])


@cache
def slices() -> list[Any]:
    """Some real slices as grey arrays."""
    root = Path(os.environ["HARNESS_DATA"])
    paths = sorted((root / "covid-ct" / "CT_COVID").iterdir())[::9]
    paths += sorted((root / "sars-cov-2-ct" / "COVID").iterdir())[::60]
    return [np.asarray(Image.open(path).convert("L")) for path in paths]


def ct_plate(
    folder: Path, number: int, random: np.random.Generator, pictures: Sequence[Any], parts: int, long: bool
) -> Plate:
    """A figure of slices: one file with its panels, or `parts` files of one slice each."""
    plate = Plate(number, [], [], [], True, "")
    for part in range(parts):
        if parts == 1:
            made = composite(pictures, random)
            while made.image.shape[0] > TALLEST * made.image.shape[1]:
                made = composite(pictures, random)
            image, panels = Image.fromarray(made.image), list(made.panels)
        else:
            image = Image.fromarray(pictures[int(random.integers(len(pictures)))])
            image = image.resize((300, 240))
            panels = [(0, 0, *image.size)]
        width = 400 + SIZE_STEP * (12 * number + part)
        scale = width / image.width
        image = image.resize((width, max(40, round(image.height * scale))))
        path = folder / f"f{number}-{part}.{'png' if number % 2 else 'jpg'}"
        image.save(path)
        plate.files.append(path)
        plate.sizes.append(image.size)
        plate.panels.append([tuple(round(v * scale) for v in box) for box in panels])
    plate.text = caption_text(random, sum(map(len, plate.panels)), long)
    return plate


def chart_plate(folder: Path, number: int, random: np.random.Generator) -> Plate:
    """A figure that is drawn: lines and bars, as SVG and PDF."""
    from matplotlib.figure import Figure

    mpl.rcParams["svg.fonttype"] = "none"
    figure = Figure(figsize=(4.2, 2.6), layout="tight")
    left, right = figure.subplots(1, 2)
    for name in ("mild", "severe"):
        left.plot(np.cumsum(random.random(12)), label=name)
    left.legend()
    left.set_xlabel("Days after onset")
    left.set_ylabel("CT score")
    right.bar(["18-40", "41-60", "> 60"], random.integers(5, 40, 3))
    right.set_title("Age")
    path = folder / f"f{number}"
    for ending in ("pdf", "svg"):
        figure.savefig(f"{path}.{ending}", bbox_inches="tight", pad_inches=0.02)
    text = f"CT scores of the two groups over time. {sentence(random)} Bars: number of patients by age."
    return Plate(number, [path], [], [], False, text)


def plates_of(folder: Path, seed: int, kinds: str) -> list[Plate]:
    """The figures of a paper: 'c' a file of slices, 'l' one with a long caption, 'p' four files, 'v' a chart."""
    random = np.random.default_rng(seed)
    pictures = slices()
    made = []
    for number, kind in enumerate(kinds, 1):
        if kind == "v":
            made.append(chart_plate(folder, number, random))
        else:
            made.append(
                ct_plate(folder, number, random, pictures, {"p": 4, "q": 2}.get(kind, 1), kind == "l")
            )
    return made


def web_page(look: Web, plates: Sequence[Plate], random: np.random.Generator) -> str:
    """The HTML of a paper."""
    figures = [web_figure(look, plate) for plate in plates]
    cited = [f"{look.cite} {plate.number}" for plate in plates]
    body = [f"<p>{paragraph(random)}</p>"]
    for number, name in enumerate(cited):
        body += [f"<p>{paragraph(random, name)}</p>", "" if look.end else figures[number]]
        body += [f"<p>{paragraph(random, least=6)}</p>" for _ in range(look.between)]
    if look.end == "captions apart":
        body.append("<h2>Figure legends</h2>")
        body += [f"<p class=cap>{caption_html(look, plate)}</p>" for plate in plates]
    if look.end:
        body += [f"<div class=leaf>{figure}</div>" for figure in figures]
    title = "<h1>Findings of chest CT in patients with pneumonia</h1><p class=by>A. Author, B. Writer</p>"
    main = f"<main>{title}{''.join(body)}</main>"
    return f"<!doctype html><meta charset=utf-8><style>{PAGES}{look.css}</style>{look.before}{main}"


def caption_html(look: Web, plate: Plate) -> str:
    text = escape(plate.text)
    if look.parts_own_line:
        text = re.sub(r" \(([A-F])\) ", r"</p><p class=cap><i>\1</i>, ", text)
    first, _, rest = text.partition(". ")
    return look.label.format(n=plate.number, text=text, title=first, rest=rest)


def web_figure(look: Web, plate: Plate) -> str:
    letters = [
        f"<span class=letter>{chr(65 + k)}</span>" if look.letters else "" for k in range(len(plate.files))
    ]
    if plate.is_ct:
        shown = "".join(
            f"<div class=part><img src='{path.name}'>{letter}</div>"
            for path, letter in zip(plate.files, letters, strict=True)
        )
    else:
        svg = re.sub(r"^.*?(?=<svg)", "", Path(f"{plate.files[0]}.svg").read_text(), flags=re.DOTALL)
        shown = f"<a class=chart href='http://truth/{plate.number}'>{svg}</a>"
    shown = f"<div class='shown n{len(plate.files)}'>{shown}</div>"
    if look.letters and plate.is_ct:
        shown = f"<a class=chart href='http://truth/{plate.number}'>{shown}</a>"  # with its letters
    name = look.leaf_label.format(n=plate.number)
    caption = name if look.end == "captions apart" else f"<p class=cap>{caption_html(look, plate)}</p>"
    if look.frame:
        part = dict.fromkeys("ABCD", "") | {
            chr(65 + k): f"<img src='{path.name}'>" for k, path in enumerate(plate.files)
        }
        title, _, rest = escape(plate.text).partition(". ")
        part |= {
            "shown": shown,
            "caption": caption,
            "title": f"{title}.",
            "rest": rest,
            "n": str(plate.number),
        }
        return f"<figure>{look.frame.format_map(part)}</figure>"
    both = (caption, shown) if look.above else (shown, caption)
    return (
        f"<figure>{both[0]}<div class=text>{both[1]}</div></figure>"
        if look.beside
        else f"<figure>{''.join(both)}</figure>"
    )


def said_by(look: Web, plate: Plate) -> str:
    html = re.sub(
        r"<p class=cap>https?:.*", "", caption_html(look, plate)
    )  # the address of the figure is not its caption
    return " ".join(re.sub(r"<[^>]+>", " ", html).replace("&gt;", ">").split())


def tex_page(look: Latex, plates: Sequence[Plate], random: np.random.Generator) -> str:
    """The LaTeX of a paper."""
    body = [paragraph(random), paragraph(random)]
    for plate in plates:
        body += [
            paragraph(random, f"{look.cite}~\\ref{{f{plate.number}}}"),
            "" if look.end else tex_figure(look, plate),
        ]
        body += [paragraph(random, least=6) for _ in range(look.between)]
    if look.legends:
        body += [r"\section*{Figure legends}", *(said_in_tex(look, plate) for plate in plates)]
    if look.end:
        body += [r"\clearpage", *(tex_figure(look, plate) + look.end for plate in plates)]
    return look.frame.replace("BODY", "\n\n".join(body)).replace(
        "GRAPHICS", r"\usepackage{graphicx}\usepackage[hidelinks]{hyperref}"
    )


def said_in_tex(look: Latex, plate: Plate) -> str:
    return f"{look.label.format(n=plate.number)} {plate.text}".replace(">", "$>$")


def tex_figure(look: Latex, plate: Plate) -> str:
    wide = look.part if len(plate.files) > 1 else look.wide
    if plate.is_ct:
        shown = look.joined.join(
            look.panel.replace("PICTURE", rf"\includegraphics[width={wide}]{{{path.name}}}")
            for path in plate.files
        )
    else:
        shown = rf"\href{{http://truth/{plate.number}}}{{\includegraphics[width={look.wide}]{{{plate.files[0].name}.pdf}}}}"
    text = plate.text.replace("%", r"\%").replace(">", "$>$")
    return (
        look.figure.replace("PICTURES", shown).replace("CAPTION", text).replace("NUMBER", str(plate.number))
    )


def typeset(
    folder: Path, name: str, plates: Sequence[Plate], random: np.random.Generator
) -> tuple[Path, list[str]]:
    """Typeset one paper; return its PDF and the captions as they are printed."""
    look = LATEX.get(name) or WEB[name]
    if isinstance(look, Latex):
        (folder / "paper.tex").write_text(tex_page(look, plates, random))
        for _ in range(2):
            command = ["pdflatex", "-interaction=nonstopmode", "paper.tex"]
            subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
        return folder / "paper.pdf", [f"{look.label.format(n=plate.number)} {plate.text}" for plate in plates]
    (folder / "paper.html").write_text(web_page(look, plates, random))
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-pdf-header-footer",
        "--print-to-pdf=paper.pdf",
    ]
    subprocess.run(["chromium", *options, "paper.html"], cwd=folder, capture_output=True, check=True)
    return folder / "paper.pdf", [said_by(look, plate) for plate in plates]


def placed(document: Any, plates: Sequence[Plate]) -> None:
    """Find where the figures stand, and take the links around charts out."""
    sizes = {size: (plate, part) for plate in plates for part, size in enumerate(plate.sizes)}
    charts = {f"http://truth/{plate.number}": plate for plate in plates}
    for page in document:
        turned = page.rotation_matrix
        for info in page.get_image_info():
            if (info["width"], info["height"]) in sizes:
                plate, part = sizes[info["width"], info["height"]]
                plate.found.append((part, (page.number + 1, *(pymupdf.Rect(info["bbox"]) * turned))))
                plate.found.sort(key=lambda one: one[1][0])
        for link in page.get_links():
            if plate := charts.get(link.get("uri", "").rstrip("/")):
                plate.whole = (page.number + 1, *(pymupdf.Rect(link["from"]) * turned))
            page.delete_link(link)


def truths_of(plate: Plate, caption: str, look: Any) -> list[dict[str, Any]]:
    """A figure as a ground truth has it, one a page that it stands on."""
    pages = sorted({place[0] for _, place in plate.found})
    if plate.whole or len(pages) < 2:
        return [truth_of(plate, caption, look)]
    own = [[one for one in plate.found if one[1][0] == page] for page in pages]
    return [truth_of(replace(plate, found=found), caption, look) for found in own]


def truth_of(plate: Plate, caption: str, look: Any) -> dict[str, Any]:
    places = [plate.whole] if plate.whole else [place for _, place in plate.found]
    page, boxes = places[0][0], np.array([place[1:] for place in places])
    box = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    panels = []
    for part, (_, x0, y0, x1, y1) in plate.found if plate.is_ct else ():
        width, height = plate.sizes[part]
        across, down = (x1 - x0) / width, (y1 - y0) / height
        panels += [
            [x0 + a * across, y0 + b * down, x0 + c * across, y0 + d * down]
            for a, b, c, d in plate.panels[part]
        ]
    return {
        "label": caption.split(" ")[0],
        "number": None if getattr(look, "unnumbered", False) else plate.number,
        "page": page,
        "bbox": box,
        "caption_text": caption,
        "supplementary": getattr(look, "supplementary", False),
        "panel_boxes": panels if not (look.turned or getattr(look, "cropped", False)) else [],
        "has_ct": plate.is_ct,
    }


def scanned(document: Any) -> Any:
    """Every page as a picture of itself at 150 dpi with its words unseen over it, as a scanner with OCR writes."""
    made = pymupdf.open()
    for page in document:
        new = made.new_page(width=page.rect.width, height=page.rect.height)
        new.insert_image(new.rect, stream=page.get_pixmap(dpi=150, colorspace="gray").tobytes("jpeg"))
        for block in page.get_text("dict", flags=pymupdf.TEXTFLAGS_TEXT)["blocks"]:
            for span in (span for line in block["lines"] for span in line["spans"]):
                wide = pymupdf.get_text_length(span["text"], fontsize=1.0)
                size = min(span["size"], (span["bbox"][2] - span["bbox"][0]) / max(wide, 0.1))
                new.insert_text(span["origin"], span["text"], fontsize=size, render_mode=3)
    return made


def main(out: Path, names: Sequence[str]) -> None:
    truth = out / "truth.json"
    known = json.loads(truth.read_text())["documents"] if names and truth.exists() else []
    documents = [one for one in known if Path(one["file"]).stem not in names]
    for name in names or [*LATEX, *WEB]:
        look: Any = LATEX.get(name) or WEB[name]
        seed = sum(map(ord, name))
        folder = out / "work" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((90, 30)).save(folder.parent / "logo.png")
        plates = plates_of(folder, seed, look.kinds)
        pdf, captions = typeset(folder, name, plates, np.random.default_rng(seed + 1))
        if not pdf.exists():
            print(f"{name}: not typeset; see {folder}/paper.log")
            continue
        with pymupdf.open(pdf) as document:
            placed(document, plates)
            lost = [plate.number for plate in plates if not plate.found and not plate.whole]
            print(f"{name}: {document.page_count} pages" + (f", figures lost: {lost}" if lost else ""))
            kept = scanned(document) if getattr(look, "scan", False) else document
            kept.save(out / f"{name}.pdf", garbage=3)
        shown = [(one, text) for one, text in zip(plates, captions, strict=True) if one.found or one.whole]
        figures = [figure for one, text in shown for figure in truths_of(one, text, look)]
        documents.append({"file": f"{name}.pdf", "figures": figures})
        truth.write_text(json.dumps({"documents": documents}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
