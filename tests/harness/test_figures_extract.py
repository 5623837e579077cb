"""`harness figures extract`: what is written, what is refused, and that one bad PDF does not stop the others."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path

import pymupdf
import pytest
from made_papers import Paper, coloured, decoded, encoded, with_figure
from typer.testing import CliRunner, Result

from harness.cli import app
from harness.figures.descriptions import describing
from harness.figures.documents import Unopened, read_document
from harness.figures.figure_files import as_json, file_stem, stems_of


def paper(path: Path, label: str = "Figure 1.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return with_figure(Paper().image((100, 100, 300, 250), coloured()), label).save(path)


def extract(*pdfs: Path, out: Path) -> Result:
    return CliRunner().invoke(app, ["figures", "extract", *map(str, pdfs), "--out", str(out)])


def written(out: Path) -> dict[str, object]:
    return json.loads((out / "figures.json").read_text("utf-8"))


# Bad input


def test_pdfs_that_cannot_be_read_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    good = paper(tmp_path / "good.pdf")
    bad = {
        "empty": b"",
        "text": b"no PDF at all",
        "cut": good.read_bytes()[:60],
        "no pages": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        b"2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
        b"trailer<</Root 1 0 R>>",
    }
    for name, data in bad.items():
        (tmp_path / f"{name}.pdf").write_bytes(data)
    locked = tmp_path / "locked.pdf"
    with pymupdf.open(good) as opened:
        opened.save(locked, encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="other")
    paths = [*(tmp_path / f"{name}.pdf" for name in bad), locked, tmp_path / "missing.pdf", tmp_path, good]
    done = extract(*paths, out=tmp_path / "out")
    assert done.exit_code == 1
    problems = {Path(one["file"]).name: one["problems"] for one in written(tmp_path / "out")["documents"]}  # type: ignore[attr-defined]
    assert len(problems) == len(paths)
    assert problems.pop("good.pdf") == []
    assert all(len(said) == 1 for said in problems.values())
    assert "empty" in problems["empty.pdf"][0]
    assert "password" in problems["locked.pdf"][0]
    assert "pages" in problems["no pages.pdf"][0]
    assert "No such file" in problems["missing.pdf"][0]
    for name in problems:
        assert f"{name}: " in done.output
    assert len(written(tmp_path / "out")["documents"][-1]["figures"]) == 1  # type: ignore[index]


def test_a_pdf_that_only_restricts_printing_is_read(tmp_path: Path) -> None:
    with pymupdf.open(paper(tmp_path / "a.pdf")) as opened:
        opened.save(
            tmp_path / "b.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="other", permissions=0
        )
    assert len(read_document(tmp_path / "b.pdf", tmp_path / "out").figures) == 1


def test_a_content_stream_that_unpacks_without_end_is_left_alone(tmp_path: Path) -> None:
    made = with_figure(Paper().image((100, 100, 300, 250), coloured())).next_page()
    packer = zlib.compressobj(9)
    piece = b"0 0 m 1 1 l S\n" * 1_000_000
    data = b"".join(packer.compress(piece) for _ in range(20)) + packer.flush()
    number = made.object("", data, Filter="/FlateDecode")
    made.document.xref_set_key(made.page.xref, "Contents", f"{number} 0 R")
    document = read_document(made.save(tmp_path / "bomb.pdf"), tmp_path / "out")
    assert len(document.figures) == 1
    (problem,) = document.problems
    assert problem.startswith("page 2: content")
    assert "unpacks" in problem


OPERATIONS = b"q 1 0 0 1 0 0 cm Q\n" * 40


@pytest.mark.parametrize(
    ("filters", "packed"),
    [
        ("[/ASCII85Decode /FlateDecode]", base64.a85encode(zlib.compress(OPERATIONS)) + b"~>"),
        ("[/ASCIIHexDecode /FlateDecode]", zlib.compress(OPERATIONS).hex().encode() + b">"),
        ("[/FlateDecode /FlateDecode]", zlib.compress(zlib.compress(OPERATIONS))),
        ("/ASCII85Decode", base64.a85encode(OPERATIONS) + b"~>"),
        ("[/ASCII85Decode /FlateDecode]", b"no ASCII85 at all {|}"),
    ],
)
def test_contents_packed_several_times_are_read(tmp_path: Path, filters: str, packed: bytes) -> None:
    made = with_figure(Paper().image((100, 100, 300, 250), coloured())).next_page()
    number = made.object("", packed, Filter=filters)
    made.document.xref_set_key(made.page.xref, "Contents", f"{number} 0 R")
    assert read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out").problems == ()


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ("[/ASCII85Decode /FlateDecode /FlateDecode]", "unpacks"),
        ("[/FlateDecode /LZWDecode /FlateDecode]", "is packed by FlateDecode and LZWDecode and FlateDecode"),
    ],
)
def test_a_bomb_in_a_bomb_is_left_alone_however_small_it_is(tmp_path: Path, filters: str, said: str) -> None:
    """A gigabyte in less than 2,000 bytes."""
    packer = zlib.compressobj(9)
    inner = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1000)) + packer.flush()
    bomb = base64.a85encode(zlib.compress(inner, 9)) + b"~>"
    assert len(bomb) < 6000
    made = with_figure(Paper().image((100, 100, 300, 250), coloured())).next_page()
    number = made.object("", bomb if "85" in filters else zlib.compress(inner, 9), Filter=filters)
    made.document.xref_set_key(made.page.xref, "Contents", f"{number} 0 R")
    (problem,) = read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out").problems
    assert problem.startswith(f"page 2: content {number} ")
    assert said in problem


def test_scripts_and_launch_actions_are_not_run(tmp_path: Path) -> None:
    made = with_figure(Paper().image((100, 100, 300, 250), coloured()))
    target = tmp_path / "ran"
    action = made.document.get_new_xref()
    made.document.update_object(action, f"<</S/Launch/F(/usr/bin/touch)/Win<</F(touch)/P({target})>>>>")
    made.document.xref_set_key(made.document.pdf_catalog(), "OpenAction", f"{action} 0 R")
    made.document.xref_set_key(
        made.page.xref, "AA", f"<</O<</S/JavaScript/JS(app.launchURL('file://{target}'))>>>>"
    )
    assert len(read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out").figures) == 1
    assert not target.exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = extract(paper(tmp_path / "a.pdf"), out=tmp_path / "file" / "out")
    assert done.exit_code == 1
    assert "cannot write" in str(done.exception)


# Names


@pytest.mark.parametrize(
    "name", ["../../x.pdf", "a b;rm -rf.pdf", "\u5f71\u50cf.pdf", "con.pdf", ".pdf", "x" * 300, "a\nb.pdf"]
)
def test_names_of_files_are_safe(name: str) -> None:
    stem = file_stem(Path(name))
    assert stem
    assert len(stem) <= 90
    assert not set(stem) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert stem[0] not in ".-"
    assert stem.lower() != "con"


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    named = paper(inside / "..%2f..%2fescape$(touch x).pdf")
    before = {path for path in tmp_path.rglob("*") if "out" not in path.parts}
    assert extract(named, out=tmp_path / "out").exit_code == 0
    assert {path for path in tmp_path.rglob("*") if "out" not in path.relative_to(tmp_path).parts} == before


def test_two_papers_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first, second = paper(tmp_path / "a" / "x.pdf"), paper(tmp_path / "b" / "X.pdf", "Figure 2.")
    assert extract(first, second, out=tmp_path / "out").exit_code == 0
    names = [one["figures"][0]["image"] for one in written(tmp_path / "out")["documents"]]  # type: ignore[attr-defined]
    assert len({name.lower() for name in names}) == 2
    assert stems_of([first, second, first]) == ["x", "X-2", "x-3"]


# What is written


def test_the_file_has_the_keys_of_the_ground_truth(tmp_path: Path) -> None:
    assert extract(paper(tmp_path / "a.pdf"), out=tmp_path / "out").exit_code == 0
    whole = written(tmp_path / "out")
    (document,) = whole["documents"]  # type: ignore[misc]
    (figure,) = document["figures"]
    assert whole["schema_version"] == 1
    assert document["file"].endswith("a.pdf")
    assert (figure["label"], figure["number"], figure["page"], figure["supplementary"]) == (
        "Figure 1",
        1,
        1,
        False,
    )
    assert figure["bbox"] == pytest.approx([100, 100, 300, 250], abs=0.5)
    assert figure["caption_text"] == "Figure 1. Chest CT of the patient on the first day."
    assert figure["panel_boxes"] == [pytest.approx([100, 100, 300, 250], abs=0.5)]
    assert isinstance(figure["has_ct"], bool)
    assert 0.5 <= figure["ct_confidence"] <= 1
    assert decoded(tmp_path / "out" / figure["image"]).shape == (figure["height"], figure["width"], 3)


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    path = paper(tmp_path / "a.pdf")
    first, second = (as_json(read_document(path, tmp_path / name)) for name in ("one", "two"))
    assert first == second
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    extract(paper(tmp_path / "a.pdf"), out=tmp_path / "out")
    (tmp_path / "out" / "mine.png").write_bytes(encoded(coloured(), "PNG"))
    extract(paper(tmp_path / "b.pdf"), out=tmp_path / "out")
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert [name.split("-")[0] for name in left] == ["b", "figures.json", "mine.png"]


def test_title_and_doi_are_read(tmp_path: Path) -> None:
    made = (
        Paper()
        .words(60, 60, "A study of imaging in many patients", 18)
        .words(60, 680, "doi: 10.1234/abc.5(6).")
    )
    made.text((60, 90, 440, 640))
    document = read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out")
    assert document.title == "A study of imaging in many patients"
    assert document.doi == "10.1234/abc.5(6)"


def test_paragraphs_that_cite_a_figure_are_kept(tmp_path: Path) -> None:
    made = with_figure(Paper().image((100, 100, 300, 250), coloured())).next_page()
    made.text(
        (60, 60, 440, 110), "The first of the patients was well after some days in the hospital (Fig. 1A)."
    )
    made.text(
        (60, 130, 440, 200),
        "The second of the patients was not well at all and stayed for many more days (Fig. 2).",
    )
    (figure,) = read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out").figures
    assert [text.split(" of ")[0] for text in figure.mentions] == ["The first"]


def test_citations_that_lines_break_and_short_sentences_are_kept(tmp_path: Path) -> None:
    made = with_figure(Paper().image((100, 100, 300, 250), coloured())).next_page()
    said = "It went as others have said before, and the patient was well again on the next day (Fig. 1) and later."
    made.text((60, 60, 60 + 355, 110), said).words(60, 140, "Figure 1 compares the lungs of both.", 10)
    made.text((60, 160, 440, 640))
    (figure,) = read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out").figures
    assert figure.mentions == (said, "Figure 1 compares the lungs of both.")


def test_a_figure_that_is_drawn_is_no_ct(tmp_path: Path) -> None:
    path = with_figure(Paper().chart((100, 100, 300, 250))).save(tmp_path / "a.pdf")
    with describing(path) as describe:
        (figure,) = read_document(path, tmp_path / "out", describe=describe).figures
    assert figure.has_ct is not None
    assert (figure.kind, figure.has_ct.value) == ("vector", "other")


def test_a_caller_can_add_to_each_figure(tmp_path: Path) -> None:
    seen = []

    def describe(figure, pixels):  # type: ignore[no-untyped-def]
        seen.append((figure.image, pixels.shape))
        return figure

    read_document(paper(tmp_path / "a.pdf"), tmp_path / "out", describe=describe)
    assert [shape for _, shape in seen] == [(90, 120, 3)]


def test_unopened_names_the_file_and_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Unopened, match="missing.pdf.*No such file"):
        read_document(tmp_path / "missing.pdf", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_document_without_captions_gives_each_large_picture_once(tmp_path: Path) -> None:
    made = Paper()
    for number in range(3):
        if number:
            made.next_page()
        made.image(
            (100, 100 + 20 * number, 300, 250 + 20 * number), coloured() if number < 2 else coloured(60, 90)
        )
    document = read_document(made.save(tmp_path / "a.pdf"), tmp_path / "out")
    assert [figure.page for figure in document.figures] == [1, 3]
    assert all(figure.caption is None and figure.confidence == 0.0 for figure in document.figures)
