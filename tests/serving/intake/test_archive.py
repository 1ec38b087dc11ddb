import io
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import ImageError, Reason
from serving.intake.archive import MEBIBYTE, ArchiveLimits, Unpacked, is_archive, unpack

LIMITS = ArchiveLimits(
    max_entries=50, max_bytes=4 * MEBIBYTE, max_ratio=20, ratio_from_bytes=MEBIBYTE, max_depth=2
)


def write_zip(path: Path, members: dict[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


def zipped(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as bundle:
        for name, member in members.items():
            bundle.writestr(name, member)
    return content.getvalue()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def take(archive: Path, scratch: Path) -> Unpacked:
    return unpack(archive, scratch, name="sent.zip", limits=LIMITS)


def refusal(archive: Path, scratch: Path) -> ImageError:
    with pytest.raises(ImageError) as caught:
        take(archive, scratch)
    assert caught.value.source == "sent.zip"
    assert not [path for path in scratch.rglob("*") if path.is_file()], "a refused archive leaves files"
    return caught.value


def contents(unpacked: Unpacked) -> dict[str, bytes]:
    return {member.name: member.path.read_bytes() for member in unpacked.members}


def test_members_keep_their_names_and_bytes(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one", "folder/y.jpg": b"two"})

    unpacked = take(archive, scratch)

    assert contents(unpacked) == {"sent.zip/x.jpg": b"one", "sent.zip/folder/y.jpg": b"two"}
    assert not unpacked.rejected


def test_a_members_name_never_becomes_a_path_of_ours(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"deep/er/x.jpg": b"one", "CON.jpg": b"two", "x" * 300: b"three"})

    unpacked = take(archive, scratch)

    assert {member.path.parent for member in unpacked.members} == {scratch}
    assert all(member.path.name.isdigit() for member in unpacked.members)


def test_hidden_members_are_left_out(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip",
        {"x.jpg": b"one", "__MACOSX/._x.jpg": b"fork", ".DS_Store": b"", ".git/config": b""},
    )

    assert list(contents(take(archive, scratch))) == ["sent.zip/x.jpg"]


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "folder/../../out.jpg",
        "/etc/passwd",
        "C:\\out.jpg",
        "C:out.jpg",
        "..\\out.jpg",
        "\\\\server\\share\\out.jpg",
        "\\out.jpg",
    ],
)
def test_a_path_that_leaves_the_archive_refuses_it_whole(tmp_path: Path, scratch: Path, name: str) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one", name: b"two"})

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_UNSAFE_PATH
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "scratch"]


def test_a_symbolic_link_refuses_the_archive_whole(tmp_path: Path, scratch: Path) -> None:
    link = zipfile.ZipInfo("x.jpg")
    link.create_system = 3
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr(link, "/etc/passwd")

    assert refusal(tmp_path / "a.zip", scratch).reason is Reason.ARCHIVE_UNSAFE_PATH


def test_a_member_with_a_nul_in_its_name_refuses_the_archive(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x#.jpg": b"one"})
    archive.write_bytes(archive.read_bytes().replace(b"x#.jpg", b"x\0.jpg"))

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_UNSAFE_PATH


def test_an_archive_that_unpacks_to_too_many_bytes_is_a_bomb(tmp_path: Path, scratch: Path) -> None:
    members = {f"{number}.dcm": bytes(MEBIBYTE) for number in range(5)}
    archive = write_zip(tmp_path / "a.zip", members, method=zipfile.ZIP_STORED)

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_BOMB


def test_an_archive_that_unpacks_to_many_times_its_size_is_a_bomb(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"zeros.dcm": bytes(2 * MEBIBYTE)})

    error = refusal(archive, scratch)

    assert error.reason is Reason.ARCHIVE_BOMB
    assert "times its size" in error.problem


def test_a_small_picture_that_packs_well_is_no_bomb(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"blank.dcm": bytes(MEBIBYTE // 2)})

    assert contents(take(archive, scratch)) == {"sent.zip/blank.dcm": bytes(MEBIBYTE // 2)}


def test_what_an_archive_declares_does_not_count(tmp_path: Path, scratch: Path) -> None:
    # The member claims to be 3 bytes long in both of its headers.
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": bytes(2 * MEBIBYTE)})
    declared, claimed = struct.pack("<L", 2 * MEBIBYTE), struct.pack("<L", 3)
    archive.write_bytes(archive.read_bytes().replace(declared, claimed))

    unpacked = take(archive, scratch)

    assert not unpacked.members
    assert [error.reason for error in unpacked.rejected] == [Reason.ARCHIVE_CORRUPT]


def test_an_archive_of_too_many_files_is_a_bomb(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {f"{number}.jpg": b"" for number in range(51)})

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_BOMB


def test_a_huge_directory_is_refused_before_it_is_read(tmp_path: Path, scratch: Path) -> None:
    limits = ArchiveLimits(max_entries=1)
    members = {f"{'x' * 3000}{number}.jpg": b"" for number in range(60)}
    archive = write_zip(tmp_path / "a.zip", members)

    with pytest.raises(ImageError) as caught:
        unpack(archive, scratch, name="sent.zip", limits=limits)

    assert caught.value.reason is Reason.ARCHIVE_BOMB


def test_archives_in_an_archive_are_unpacked(tmp_path: Path, scratch: Path) -> None:
    inner = zipped({"x.jpg": b"one"})
    archive = write_zip(tmp_path / "a.zip", {"inner.zip": inner, "y.jpg": b"two"})

    assert contents(take(archive, scratch)) == {
        "sent.zip/inner.zip/x.jpg": b"one",
        "sent.zip/y.jpg": b"two",
    }


def test_archives_in_an_archive_share_its_budget(tmp_path: Path, scratch: Path) -> None:
    inner = zipped({"zeros.dcm": bytes(MEBIBYTE)})
    archive = write_zip(
        tmp_path / "a.zip", {"1.zip": inner, "2.zip": inner, "3.zip": inner}, method=zipfile.ZIP_STORED
    )

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_BOMB


def test_archives_nested_too_deep_are_a_bomb(tmp_path: Path, scratch: Path) -> None:
    innermost = zipped({"x.jpg": b"one"})
    archive = write_zip(tmp_path / "a.zip", {"2.zip": zipped({"3.zip": innermost})})

    error = refusal(archive, scratch)

    assert error.reason is Reason.ARCHIVE_BOMB
    assert "nested" in error.problem


def test_two_members_of_one_name_are_two_files(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one", "y.jpg": b"two"})
    archive.write_bytes(archive.read_bytes().replace(b"y.jpg", b"x.jpg"))

    assert contents(take(archive, scratch)) == {
        "sent.zip/x.jpg": b"one",
        "sent.zip/x.jpg (entry 2)": b"two",
    }


def test_a_damaged_member_is_refused_alone(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(
        tmp_path / "a.zip", {"x.jpg": b"a picture", "y.jpg": b"another"}, method=zipfile.ZIP_STORED
    )
    archive.write_bytes(archive.read_bytes().replace(b"a picture", b"a plcture"))

    unpacked = take(archive, scratch)

    assert contents(unpacked) == {"sent.zip/y.jpg": b"another"}
    assert [(error.source, error.reason) for error in unpacked.rejected] == [
        ("sent.zip/x.jpg", Reason.ARCHIVE_CORRUPT)
    ]


def test_an_encrypted_member_is_refused_and_the_remedy_said(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one"}, method=zipfile.ZIP_STORED)
    packed = bytearray(archive.read_bytes())
    packed[6] |= 1  # the local header's flags
    packed[packed.index(b"PK\x01\x02") + 8] |= 1  # the directory's
    archive.write_bytes(packed)

    (error,) = take(archive, scratch).rejected

    assert error.reason is Reason.ARCHIVE_CORRUPT
    assert "without a password" in error.remedy


def test_a_member_packed_with_another_method_is_refused(tmp_path: Path, scratch: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one" * 100}, method=zipfile.ZIP_LZMA)

    (error,) = take(archive, scratch).rejected

    assert error.reason is Reason.ARCHIVE_CORRUPT
    assert "Deflate" in error.remedy


@pytest.mark.parametrize("n_bytes", [4, 30, 100])
def test_a_truncated_archive_is_corrupt(tmp_path: Path, scratch: Path, n_bytes: int) -> None:
    archive = write_zip(tmp_path / "a.zip", {"x.jpg": b"one" * 100}, method=zipfile.ZIP_STORED)
    archive.write_bytes(archive.read_bytes()[:n_bytes])

    assert refusal(archive, scratch).reason is Reason.ARCHIVE_CORRUPT


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("病例一/左臂.jpg".encode("gbk"), "病例一/左臂.jpg"),
        ("病例二\\右臂.jpg".encode("gbk"), "病例二/右臂.jpg"),
        ("病例三.jpg".encode(), "病例三.jpg"),
        ("俓.jpg".encode("gbk"), "俓.jpg"),  # its second byte is that of a backslash
    ],
)
def test_chinese_names_are_read_whether_or_not_their_encoding_is_said(
    tmp_path: Path, scratch: Path, stored: bytes, shown: str
) -> None:
    placeholder = b"n" * len(stored)
    archive = write_zip(tmp_path / "a.zip", {placeholder.decode(): b"one"})
    archive.write_bytes(archive.read_bytes().replace(placeholder, stored))

    assert list(contents(take(archive, scratch))) == [f"sent.zip/{shown}"]


def test_an_archive_is_known_by_its_content(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "holiday.jpg", {"x.jpg": b"one"})
    text = tmp_path / "archive.zip"
    text.write_text("no archive")

    assert is_archive(archive)
    assert not is_archive(text)


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(0, 255), cut=st.booleans())
def test_no_damage_gives_anything_but_members_or_coded_reasons(
    tmp_path_factory: pytest.TempPathFactory, place: float, value: int, cut: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "scratch").mkdir()
    archive = write_zip(
        folder / "a.zip", {"x.jpg": bytes(range(200)), "病/y.jpg": b"two", "z.zip": zipped({})}
    )
    content = bytearray(archive.read_bytes())
    position = min(int(place * len(content)), len(content) - 1)
    content[position] = value
    archive.write_bytes(content[:position] if cut else content)

    try:
        unpacked = take(archive, folder / "scratch")
    except ImageError:
        return
    assert len(unpacked.members) + len(unpacked.rejected) <= 3
