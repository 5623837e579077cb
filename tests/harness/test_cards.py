"""Cards: every mistake is one line with the file, the key, what is wrong and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_images import CARD, write_card
from pydantic import ValidationError

from harness.data.cards import Card, Fetch, Window, known_cards, load_card, unsafe_path
from harness.errors import CardError
from harness.folders import bundled

GOOD = CARD.format(name="squares", adapter="image-folder")


def complaint(tmp_path: Path, text: str) -> str:
    path = tmp_path / "card.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_card(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def without(key: str) -> str:
    return "".join(line + "\n" for line in GOOD.splitlines() if not line.startswith(key))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            without("licence"),
            "key 'licence' is missing; write the licence of the images, or that none is stated",
        ),
        (without("schema_version"), "key 'schema_version' is missing; write 1, the version of this format"),
        (
            GOOD.replace("version = 1", "version = 2"),
            "key 'schema_version' is 2, expected 1, the version of this",
        ),
        (GOOD + "licens = 'x'\n", "key 'licens' is not a key of a card; you probably meant 'licence'"),
        (GOOD + "list_file = 'x.csv'\n", "key 'list_file' is not a key of a card"),
        (
            GOOD + "[fetch]\nkind='url'\nurl = 'x'\n",
            "key 'fetch.url' is not a key of a card; you probably meant 'urls'",
        ),
        (
            GOOD + "[fetch]\nkind='ftp'\n",
            "key 'fetch.kind' is 'ftp', expected who keeps the files: 'github-archive'",
        ),
        (
            GOOD + "[fetch]\nkind='url'\nstrip = -1\n",
            "key 'fetch.strip' is -1, expected how many leading folders",
        ),
        (
            GOOD + "[shared_classes]\nother = 'x'\n",
            "key 'shared_classes' is wrong: 'other' is none of the classes; write one of",
        ),
        (
            GOOD + "[shared_classes]\ndark = 'x'\nbright = 'x'\n",
            "['dark', 'bright'] all have the shared name 'x'; classes are not merged, so give each its own",
        ),
        (GOOD + "[shared_classes]\ndark = ' x'\n", "' x' has spaces at its ends"),
        (
            GOOD + "[shared_classes]\ndark = ''\n",
            "key 'shared_classes.dark' is '', expected a table: the name",
        ),
        (GOOD + "[window]\nwidth = 0\n", "key 'window.width' is 0, expected the width of the window in HU"),
        (GOOD + "[window]\nlevel = nan\n", "key 'window.level' is nan, expected the middle of the window"),
        (GOOD.replace('"squares"', '"../squares"'), "key 'name' is '../squares', expected a short name"),
        (GOOD.replace('"squares"', '".."'), "key 'name' is '..', expected a short name"),
        (
            GOOD.replace('"dark", "bright"', '"bright"'),
            "key 'classes' is ['bright'], expected a list of the class",
        ),
        (
            GOOD.replace('"dark", "bright"', '"bright", "bright"'),
            "key 'classes' is wrong: 'bright' is there twice",
        ),
        (GOOD.replace('"dark"', '"label"'), "key 'classes' is wrong: no class may be called 'label'"),
        (GOOD.replace('"dark"', '"dark "'), "key 'classes' is wrong: 'dark ' has spaces at its ends"),
        (
            GOOD.replace('"dark"', '"da\\nrk"'),
            "key 'classes' is wrong: 'da\\nrk' has spaces at its ends or unprint",
        ),
        (
            GOOD.replace('positive = "bright"', 'positive = "brigth"'),
            "key 'positive' is wrong: 'brigth' is none of",
        ),
        (
            without("positive"),
            "key 'positive' is wrong: of two classes one must be stated to be positive; write one",
        ),
        (GOOD + "[counts]\ngrey = 4\n", "key 'counts' is wrong: 'grey' is none of the classes; write one of"),
        (
            GOOD + "[counts]\ndark = 0\n",
            "key 'counts.dark' is 0, expected a table: how many images each class has",
        ),
        (
            GOOD + "[folders]\nbright = '../x'\n",
            "key 'folders' is wrong: '../x' leads out of the dataset's folder",
        ),
        (
            GOOD + "[folders]\nbright = '/x'\n",
            "key 'folders' is wrong: '/x' leads out of the dataset's folder",
        ),
        (
            GOOD + "list = 'files.csv'\n",
            "key 'list' is wrong: the adapter 'image-folder' reads no list; remove it",
        ),
        (
            GOOD.replace("image-folder", "image-list"),
            "key 'list' is wrong: the adapter 'image-list' needs it; name",
        ),
        (
            GOOD.replace("image-folder", "image-list") + "list = '../f.csv'",
            "key 'list' is wrong: '../f.csv' leads out",
        ),
        (
            GOOD + "max_pixels = 'many'\n",
            "key 'max_pixels' is 'many', expected the largest image that is decoded",
        ),
        (
            GOOD + "auto_recipe = 'slow'\n",
            "key 'auto_recipe' is 'slow', expected what the recipe 'auto' means",
        ),
        ("name = [", "is not valid TOML"),
        ("a = " + "[" * 5000, "is not valid TOML"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in complaint(tmp_path, text)


def test_a_line_says_how_many_more_mistakes_there_are(tmp_path: Path) -> None:
    assert complaint(tmp_path, "schema_version = 1\nname = 'x'\n").endswith("(and 5 more)")


def test_a_card_that_is_not_there_or_not_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="cannot be read: No such file"):
        load_card(tmp_path / "card.toml")
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardError, match="is not valid TOML"):
        load_card(tmp_path / "card.toml")


def test_three_classes_need_no_positive_one(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text(without("positive").replace('"dark"', '"dark", "dim"'))
    assert load_card(path).positive is None


def test_a_card_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text("\ufeff" + GOOD, encoding="utf-8")
    card = load_card(path)
    assert (card.classes, card.positive, card.path) == (("dark", "bright"), "bright", path)
    assert (card.window.level, card.window.width, card.max_pixels) == (-600.0, 1500.0, 64_000_000)
    assert (card.auto_recipe, card.fetch, card.counts) == ("quick", None, {})


def test_a_card_does_not_change(tmp_path: Path) -> None:
    card = load_card(write_card(tmp_path / "squares"))
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "circles"


def test_nothing_lies_beside_a_card_in_memory() -> None:
    card = Card(
        schema_version=1,
        name="x",
        title="X",
        description="x",
        adapter="image-folder",
        classes=("a", "b"),
        positive="a",
        licence="x",
        citation="x",
    )
    with pytest.raises(CardError, match="was not loaded from a file"):
        card.beside("files.csv")


@pytest.mark.parametrize("path", ["", ".", "..", "/a", "a/../../b", "a/..", "../a", "a\0b"])
def test_a_path_that_leaves_its_folder_is_unsafe(path: str) -> None:
    assert unsafe_path(path) is not None


@pytest.mark.parametrize("path", ["a", "a/b.png", "..a/b", "a..b", "Covid (1).png", "./a"])
def test_a_path_below_its_folder_is_safe(path: str) -> None:
    assert unsafe_path(path) is None


def test_every_field_of_a_card_is_described() -> None:
    for model in (Card, Fetch, Window):
        assert all(field.description for field in model.model_fields.values())


def test_cards_are_known_by_their_folders(tmp_path: Path) -> None:
    write_card(tmp_path / "squares")
    write_card(tmp_path / ".hidden", name="hidden")
    (tmp_path / "no-card").mkdir()
    known = known_cards(tmp_path)
    assert known["squares"] == tmp_path / "squares" / "card.toml"
    assert {"covid-ct", "sars-cov-2-ct"} <= known.keys()
    assert not {".hidden", "no-card"} & known.keys()


def test_a_bundled_card_is_not_replaced_by_one_among_the_images(tmp_path: Path) -> None:
    write_card(tmp_path / "covid-ct")
    assert known_cards(tmp_path)["covid-ct"] == bundled("datasets") / "covid-ct" / "card.toml"


def test_a_data_root_that_is_not_there_knows_nothing_more(tmp_path: Path) -> None:
    assert known_cards(tmp_path / "nowhere") == known_cards()


@pytest.mark.parametrize("name", ["covid-ct", "sars-cov-2-ct"])
def test_the_bundled_cards_are_valid(name: str) -> None:
    card = load_card(bundled("datasets") / name / "card.toml")
    assert (card.name, card.positive, card.classes) == (name, "COVID", ("non-COVID", "COVID"))
    assert card.fetch is not None
    assert card.fetch.urls[0].startswith("https://")
    assert card.fetch.manual


def test_the_file_that_no_release_contains_is_on_the_card() -> None:
    card = load_card(bundled("datasets") / "sars-cov-2-ct" / "card.toml")
    assert card.known_missing == ("non-COVID/Non-Covid (151).png",)
