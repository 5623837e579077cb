"""An explanation as one page that needs no other file and no network."""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING, Any

from harness.data.pictures import Pixels, printable, thumbnail
from harness.explanation_data import Explained

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["page"]

TEMPLATE = "explanation.html"
SIDE_PX = 224
QUALITY = 90
"""Of the JPEG thumbnails; a page with all its images stays below some megabytes."""


def page(found: Explained, pixels: Pixels, prototypes: int) -> str:
    """Return the HTML: rules with `prototypes` images a class, decisions, and lists of all prototypes.

    Whatever comes from a dataset or a plugin (file names, classes, titles) is escaped.
    """

    @cache
    def picture(row: int) -> str:
        return _data_uri(pixels, row)

    return _template().render(found=found, picture=picture, prototypes=prototypes, side_px=SIDE_PX)


def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harness"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE)


def _finalised(value: Any) -> Any:
    """Return what is put into the page for a value: text without what cannot be encoded or hides its order."""
    return printable(value) if type(value) is str else value


def _data_uri(pixels: Pixels, row: int) -> str:
    file = io.BytesIO()
    thumbnail(pixels.image(row), SIDE_PX).save(file, format="JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
