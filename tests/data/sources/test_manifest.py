"""A user's own table: every slip is named with its line."""

from pathlib import Path

import pytest

from data.errors import ManifestError, MissingImagesError
from data.sources.manifest import read_images
from data.study import Sex


def table(root: Path, text: str, *, encoding: str = "utf-8") -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (root / name).write_bytes(b"")
    path = root / "set.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_three_columns_are_enough(tmp_path: Path) -> None:
    images = list(read_images(table(tmp_path, "path,label,group\na.jpg,mel,P1\n\nb.jpg,nv,P2\n")))

    assert [(image.path.name, image.label, image.group) for image in images] == [
        ("a.jpg", "mel", "P1"),
        ("b.jpg", "nv", "P2"),
    ]


def test_every_optional_column_is_read_and_ones_own_are_passed_over(tmp_path: Path) -> None:
    text = (
        "group,label,path,study,position,split,age,sex,body_site,skin_type,camera\n"
        'P1,mel,a.jpg,S1,7,train,61,f,"left hand, back",4,phone\nP1,mel,b.jpg,S1,8,,,男,,,\n'
    )

    first, second = read_images(table(tmp_path, text))

    assert (first.study, first.position, first.split) == ("S1", 7, "train")
    context = first.context
    assert (context.age_years, context.sex, context.body_site) == (61.0, Sex.FEMALE, "left hand, back")
    assert context.skin_type == 4
    assert (second.split, second.context.sex, second.context.age_years) == (None, Sex.MALE, None)


def test_a_path_may_be_absolute_or_lead_out_of_the_tables_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(b"")
    path = table(tmp_path / "deep", f"path,label,group\n{outside},a,1\n../deep/a.jpg,b,2\n")

    assert [image.path.is_file() for image in read_images(path)] == [True, True]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_does_not_hide_the_first_column(tmp_path: Path, codec: str) -> None:
    path = table(tmp_path, "path,label,group\r\na.jpg,黑色素瘤,P1\r\n", encoding=codec)

    assert [image.label for image in read_images(path)] == ["黑色素瘤"]


def test_text_in_gbk_is_named_by_line_and_read_when_it_is_said(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,group\na.jpg,mel,P1\nb.jpg,黑色素瘤,P2\n", encoding="gbk")

    with pytest.raises(ManifestError, match=r"set\.csv, line 3: is not utf-8 text; .*gb18030"):
        list(read_images(path))
    assert [image.label for image in read_images(path, encoding="gb18030")] == ["mel", "黑色素瘤"]
    with pytest.raises(ManifestError, match="cannot be read as 'klingon', which is no encoding"):
        list(read_images(path, encoding="klingon"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"line 1: lacks the column path, label, group; found nothing"),
        ("path,label\na.jpg,mel\n", r"line 1: lacks the column group; found path, label"),
        ("path,label,group\n", r"set\.csv: lists no images"),
        ("path,label,group,label\na.jpg,a,b,c\n", r"line 1: has the column label more than once"),
        (
            "path,label,group,Body Site\na.jpg,a,b,c\n",
            r"line 1: column 'Body Site' is unknown; is 'body_site' meant",
        ),
        (
            "path,label,group,skintype\na.jpg,a,b,1\n",
            r"line 1: column 'skintype' is unknown; is 'skin_type' meant",
        ),
        ("path,label,group\na.jpg,mel,\n", r"line 2: group is blank"),
        ("path,label,group\na.jpg,mel\n", r"line 2: has 2 cells, but the header has 3"),
        ("path,label,group\nd.jpg,mel,1\n", r"line 2: .*d\.jpg does not exist"),
        ("path,label,group\na.jpg,mel,1\n./a.jpg,mel,1\n", r"line 3: .*a\.jpg is listed in line 2 already"),
        ("path,label,group,age\na.jpg,mel,1,old\n", r"line 2: age is 'old', expected a number from 0 to 130"),
        ("path,label,group,age\na.jpg,mel,1,nan\n", r"line 2: age is 'nan', expected a number"),
        ("path,label,group,sex\na.jpg,mel,1,x\n", r"line 2: sex is 'x', expected F, M or O"),
        ("path,label,group,skin_type\na.jpg,mel,1,2.5\n", r"line 2: skin_type is '2.5', expected a whole"),
        ("path,label,group,position\na.jpg,mel,1,1.5\n", r"line 2: position is '1.5', expected a whole"),
        (
            "path,label,group,study\na.jpg,mel,1,S\nb.jpg,mel,2,S\n",
            r"line 3: study 'S' lies in group '2' and in '1'",
        ),
        ('path,label,group\n"a.jpg,mel,1\n', r"line 2: is not CSV"),
        ('path,label,group\na.jpg,"m\nm",1\nd.jpg,x,1\n', r"line 4: .*d\.jpg does not exist"),
    ],
)
def test_a_slip_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=problem):
        list(read_images(table(tmp_path, text)))


def test_a_folder_instead_of_a_table_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        list(read_images(tmp_path))


def test_folds_of_ones_own_are_read(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,group,fold\na.jpg,mel,P1,0\nb.jpg,mel,P1,0\nc.jpg,nv,P2,4\n")

    assert [image.fold for image in read_images(path)] == [0, 0, 4]


@pytest.mark.parametrize(("fold", "said"), [("1", "fold 1"), ("", "no fold")])
def test_a_group_in_two_folds_is_told_with_both_lines(tmp_path: Path, fold: str, said: str) -> None:
    path = table(tmp_path, f"path,label,group,fold\na.jpg,mel,P1,0\nb.jpg,nv,P2,1\nc.jpg,mel,P1,{fold}\n")

    with pytest.raises(ManifestError, match=f"line 4: group 'P1' stands in {said}, but in fold 0 in line 2"):
        list(read_images(path))


def test_absent_pictures_are_told_all_at_once(tmp_path: Path) -> None:
    rows = "".join(f"absent{number}.jpg,mel,P1\n" for number in range(13))
    path = table(tmp_path, f"path,label,group\na.jpg,mel,P1\n{rows}")

    with pytest.raises(MissingImagesError) as refused:
        list(read_images(path))

    said = "does not exist, nor do the images of lines 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 and 2 more"
    assert str(refused.value) == f"{path}, line 3: {tmp_path / 'absent0.jpg'} {said}"
    assert len(refused.value.missing) == 13


def test_each_row_says_where_it_stands(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,group\n\na.jpg,mel,P1\n")

    assert [image.origin for image in read_images(path)] == [f"{path}, line 3"]
