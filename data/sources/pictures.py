"""The pictures of a labelled set: files found by their names, wherever their archives were unpacked."""

import os
from pathlib import Path

from data.errors import ManifestError


def find_pictures(folder: Path, suffix: str) -> dict[str, Path]:
    """Give each picture in a folder, however deep, by its name without the suffix (``".jpg"``).

    One walk through the folders instead of a question to the file system for each row of a table. Two
    files of one name are an error: a resized copy beside the original would be taken for it by chance.

    Raises
    ------
    ManifestError
        If there is no such folder, or a name is there twice.
    """
    if not folder.is_dir():
        raise ManifestError(folder, "is not a folder")
    path_of_name: dict[str, Path] = {}
    walked: set[Path] = set()
    # Links are followed, as sets often lie on another disk, but none in a circle.
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place).resolve()
        if here in walked:
            folders.clear()
            continue
        walked.add(here)
        folders.sort()
        for file in files:
            name, extension = os.path.splitext(file)  # noqa: PTH122  a Path for each of 112,120 files is slow
            if extension.lower() != suffix:
                continue
            path = Path(place, file)
            first = path_of_name.setdefault(name, path)
            if first is not path:
                raise ManifestError(folder, f"holds {name}{suffix} twice, {first} and {path}; leave one")
    return path_of_name
