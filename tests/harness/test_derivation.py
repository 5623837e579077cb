"""The lists under datasets/: derived from the authors' files, the same bytes every time."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from made_images import encoded, grey, write_files

from harness.data.decoding import pixels_sha256
from harness.data.derivation import covid_ct, main, sars_cov_2_ct
from harness.errors import DataError
from harness.folders import bundled

COVID_NAMES = ("2020.02.10.20021584-p6-52%0.png", "kjr-21-e24-p5-29.png", "PIIS0140673620301549_1.png")
OTHER_NAMES = ("0.jpg", "14.png", "91%0.jpg")
SHA = "e" * 64


def authors_covid_ct(folder: Path, rows: list[tuple[object, object]] | None = None) -> Path:
    """Write the files of a small COVID-CT as its authors lay them out."""
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.Workbook()
    named = rows or [
        (COVID_NAMES[0], "Patient 1"),
        (COVID_NAMES[1][:-4], "Patient 2 "),
        (COVID_NAMES[2][:-4], "Patient 3"),
    ]
    for row in [("File name", "Patient ID"), *named, (None, None)]:
        sheet.active.append(row)
    folder.mkdir(parents=True, exist_ok=True)
    sheet.save(folder / "COVID-CT-MetaInfo.xlsx")
    patients = ["crawled_patient_0", "medpix_patient_14", "crawled_patient_9"]
    lines = [
        f"{i},{name},{patient}" for i, (name, patient) in enumerate(zip(OTHER_NAMES, patients, strict=True))
    ]
    (folder / "NonCOVID-CT-MetaInfo.csv").write_text("\n".join([",image name,patient id", *lines]))
    for name, files in (("COVID", COVID_NAMES), ("NonCOVID", OTHER_NAMES)):
        for part, file in zip(("train", "val", "test"), files, strict=True):
            kind = "JPEG" if file.endswith("jpg") else "PNG"
            write_files(folder, {f"CT_{name}/{file}": encoded(grey(len(file)), kind)})
            write_files(folder, {f"Data-split/{name}/{part}CT_{name}.txt": f"{file}\n\n".encode()})
    return folder


def authors_sars_cov_2_ct(folder: Path) -> Path:
    """Write the files of a small SARS-CoV-2 CT-scan set, with the name that no release contains."""
    write_files(
        folder, {"COVID/Covid (1).png": encoded(grey(1)), "non-COVID/Non-Covid (1).png": encoded(grey(2))}
    )
    originals = [f"COVID,Covid (1).png,9,RGB,8,6,{SHA}", f"non-COVID,Non-Covid (1).png,9,RGBA,8,6,{SHA}"]
    header = "class,file,bytes,mode,width,height,sha256"
    (folder / "original-files.csv").write_text("\n".join([header, *originals]))
    split = [
        "COVID,Covid (1).png,train",
        "non-COVID,Non-Covid (1).png,test",
        "non-COVID,Non-Covid (151).png,train",
    ]
    (folder / "splits").mkdir()
    (folder / "splits" / "official.csv").write_text("\n".join(["class,file,split", *split]))
    return folder


def test_a_patient_is_found_where_the_sheet_leaves_out_the_extension(tmp_path: Path) -> None:
    rows = {row.file: row for row in covid_ct(authors_covid_ct(tmp_path))}
    assert [(row.label, row.split, row.group, row.source) for row in rows.values()] == [
        ("COVID", "train", "Patient 1", "2020.02.10.20021584"),
        ("COVID", "test", "Patient 3", "PIIS0140673620301549"),
        ("COVID", "val", "Patient 2", "kjr-21-e24"),
        ("non-COVID", "train", "crawled_patient_0", "crawled"),
        ("non-COVID", "val", "medpix_patient_14", "medpix"),
        ("non-COVID", "test", "crawled_patient_9", "crawled"),
    ]
    assert rows["CT_NonCOVID/0.jpg"].pixels_sha256 == ""
    assert rows["CT_NonCOVID/14.png"].pixels_sha256 == pixels_sha256(grey(6))


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (
            [(COVID_NAMES[0], "Patient 1"), (COVID_NAMES[1], "Patient 2")],
            "expected one patient in the authors' tables, got 0",
        ),
        (
            [
                (COVID_NAMES[0], "Patient 1"),
                (COVID_NAMES[0][:-4], "Patient 9"),
                (COVID_NAMES[1], "x"),
                (COVID_NAMES[2], "y"),
            ],
            "expected one patient in the authors' tables, got 2",
        ),
    ],
)
def test_an_image_without_exactly_one_patient_is_an_error(
    tmp_path: Path, rows: list[tuple[object, object]], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        covid_ct(authors_covid_ct(tmp_path, rows))


def test_an_image_in_no_part_or_in_two_is_an_error(tmp_path: Path) -> None:
    folder = authors_covid_ct(tmp_path)
    (folder / "CT_COVID" / "new.png").write_bytes(encoded(grey(1)))
    with pytest.raises(
        DataError, match=r"images in CT_COVID and names in Data-split/COVID differ in 1 \(first: 'new"
    ):
        covid_ct(folder)
    (folder / "Data-split/COVID/testCT_COVID.txt").write_text(COVID_NAMES[0])
    with pytest.raises(DataError, match="is in train and in test of"):
        covid_ct(folder)


def test_the_sha_of_the_original_and_the_pixels_of_what_is_there_are_listed(tmp_path: Path) -> None:
    covid, other = sars_cov_2_ct(authors_sars_cov_2_ct(tmp_path))
    assert (covid.file, covid.split, covid.group, covid.sha256) == ("COVID/Covid (1).png", "train", "", SHA)
    assert covid.pixels_sha256 == pixels_sha256(grey(1))
    assert (other.label, other.split, other.height, other.width) == ("non-COVID", "test", 6, 8)


def test_another_missing_file_is_an_error(tmp_path: Path) -> None:
    folder = authors_sars_cov_2_ct(tmp_path)
    (folder / "COVID" / "Covid (1).png").unlink()
    with pytest.raises(DataError, match="images and names in original-files.csv differ in 1"):
        sars_cov_2_ct(folder)


def test_an_image_of_another_size_than_the_original_is_an_error(tmp_path: Path) -> None:
    folder = authors_sars_cov_2_ct(tmp_path)
    (folder / "COVID" / "Covid (1).png").write_bytes(encoded(grey(1, 8, 6)))
    with pytest.raises(DataError, match="has 8x6 pixels, the original has"):
        sars_cov_2_ct(folder)


def test_the_command_writes_the_list_or_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = authors_sars_cov_2_ct(tmp_path / "data")
    assert main(["sars-cov-2-ct", str(folder), "--out", str(tmp_path / "out")]) == 0
    lines = (tmp_path / "out" / "files.csv").read_text().splitlines()
    assert lines[0] == "file,label,group,source,split,sha256,pixels_sha256,height,width"
    assert lines[1] == f"COVID/Covid (1).png,COVID,,,train,{SHA},{pixels_sha256(grey(1))},6,8"
    assert main(["sars-cov-2-ct", str(tmp_path), "--out", str(tmp_path / "other")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("damage", ["sheet", "table", "split"])
def test_a_damaged_file_of_the_authors_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    folder = authors_covid_ct(tmp_path)
    files = {
        "sheet": "COVID-CT-MetaInfo.xlsx",
        "table": "NonCOVID-CT-MetaInfo.csv",
        "split": "Data-split/COVID/testCT_COVID.txt",
    }
    (folder / files[damage]).write_bytes(b"\xff\xfe" if damage == "split" else b"damaged")
    assert main(["covid-ct", str(folder), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


# What is committed


def committed(name: str) -> list[dict[str, str]]:
    with (bundled("datasets") / name / "files.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_no_patient_of_covid_ct_is_in_both_classes_or_in_two_parts() -> None:
    labels, parts = defaultdict(set), defaultdict(set)
    for row in committed("covid-ct"):
        labels[row["group"]].add(row["label"])
        parts[row["group"]].add(row["split"])
    assert len(labels) == 384
    assert "" not in labels
    assert max(len(some) for some in labels.values()) == max(len(some) for some in parts.values()) == 1


def test_the_parts_of_sars_cov_2_ct_are_the_authors() -> None:
    rows = committed("sars-cov-2-ct")
    assert Counter((row["label"], row["split"]) for row in rows) == {
        ("COVID", "train"): 1002,
        ("COVID", "test"): 250,
        ("non-COVID", "train"): 983,
        ("non-COVID", "test"): 246,
    }
    assert {row["group"] for row in rows} == {""}


@pytest.mark.data
@pytest.mark.parametrize("name", ["covid-ct", "sars-cov-2-ct"])
def test_the_committed_list_is_derived_again_byte_for_byte(
    real_data: Path, tmp_path: Path, name: str
) -> None:
    assert main([name, str(real_data / name), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "files.csv").read_bytes() == (bundled("datasets") / name / "files.csv").read_bytes()


@pytest.mark.data
def test_the_list_of_covid_ct_agrees_with_a_join_made_by_others(real_data: Path) -> None:
    with (real_data / "covid-ct" / "image_patient_split.csv").open(encoding="utf-8", newline="") as file:
        joined = {
            (f"CT_{r['class']}/{r['file']}", r["patient_id"], r["official_split"])
            for r in csv.DictReader(file)
        }
    assert {(r["file"], r["group"], r["split"]) for r in committed("covid-ct")} == joined
