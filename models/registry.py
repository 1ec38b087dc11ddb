"""Which models there are, and which of them is in charge of a study.

Models lie in folders as ``<name>/<version>/``. A broken one is named in `refused` and takes no other down
with it. Of each name the highest version is in charge, unless ``in-charge.toml`` beside the models says
otherwise::

    in_charge = ["derm-lesion/1"]
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from data.study import Study
from models.artifact import Artifact, read_artifact
from models.errors import ArtifactError, NoModelError
from models.suitability import why_not

PINS = "in-charge.toml"

_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*")


def shipped_folder() -> Path:
    """Give the folder of the models that come with the product."""
    return Path(__file__).resolve().parent / "shipped"


class Registry:
    """The models of one or several folders, read and checked when it is made.

    Parameters
    ----------
    folders : sequence of Path
        Where two hold the same version of the same model, the first counts. A folder that does not
        exist holds no models.

    Attributes
    ----------
    refused : tuple of ArtifactError
        What stands in the folders but may not be used, and why.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._artifacts: dict[tuple[str, str], Artifact] = {}
        self._pinned: set[str] = set()
        refused: list[ArtifactError] = []
        for folder in folders:
            for version_folder in _version_folders(folder):
                try:
                    self._add(version_folder)
                except ArtifactError as error:
                    refused.append(error)
        for folder in folders:
            try:
                self._pinned |= self._read_pins(folder)
            except ArtifactError as error:
                refused.append(error)
        self.refused = tuple(refused)

    def artifacts(self) -> tuple[Artifact, ...]:
        """Give every usable model, by name and then by version, the oldest first."""
        return tuple(
            sorted(self._artifacts.values(), key=lambda one: (one.card.name, version_key(one.card.version)))
        )

    def get(self, name: str, version: str | None = None) -> Artifact:
        """Give a model by its name: this version, else the one in charge (pinned, or the highest).

        Raises
        ------
        NoModelError
            If there is none; names those that there are.
        """
        found = [one for one in self.artifacts() if one.card.name == name]
        if version is not None:
            found = [one for one in found if one.card.version == version]
        if not found:
            asked = name if version is None else f"{name}/{version}"
            raise NoModelError(asked, f"is not among the models: {self._listing()}")
        pinned = [one for one in found if one.label in self._pinned]
        return (pinned or found)[-1]

    def in_charge_of(self, study: Study) -> Artifact:
        """Choose the model that scores a study.

        Raises
        ------
        NoModelError
            If none takes it; says why, model by model.

        Notes
        -----
        A pinned model comes before all others. Then the more specific rule wins: the one that names the
        study's body part (which the study must say, see :mod:`models.suitability`), then the one for fewer
        modalities, then the one that asks for the larger picture; last the name decides. So the choice
        depends on nothing but study and models.
        """
        names = sorted({artifact.card.name for artifact in self.artifacts()})
        candidates = [self.get(name) for name in names]
        misfits = {artifact.label: why_not(study, artifact.card.applies_to) for artifact in candidates}
        fitting = [artifact for artifact in candidates if not misfits[artifact.label]]
        if not fitting:
            modalities = ", ".join(sorted({str(series.modality) for series in study.series})) or "no series"
            reasons = "; ".join(f"{label} {why}" for label, why in misfits.items()) or self._listing()
            raise NoModelError(study.uid, f"({modalities}) is taken by no model: {reasons}")
        return min(fitting, key=self._preference)

    def _preference(self, artifact: Artifact) -> tuple[object, ...]:
        rules = artifact.card.applies_to
        return (
            artifact.label not in self._pinned,
            not rules.body_parts,
            len(rules.modalities),
            -rules.min_side_px,
            artifact.card.name,
        )

    def _add(self, folder: Path) -> None:
        artifact = read_artifact(folder)
        card = artifact.card
        if (folder.parent.name, folder.name) != (card.name, card.version):
            raise ArtifactError(
                folder,
                "card.json",
                f"is of {artifact.label}",
                f"move the folder to {card.name}/{card.version}",
            )
        known = self._artifacts.setdefault((card.name, card.version), artifact)
        if known.card != card:
            raise ArtifactError(
                folder,
                "",
                f"is another model than {known.folder}, under the same version",
                "give it a new version",
            )

    def _read_pins(self, folder: Path) -> set[str]:
        path = folder / PINS
        if not path.is_file():
            return set()
        try:
            labels = tomllib.loads(path.read_text(encoding="utf-8")).get("in_charge")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise ArtifactError(folder, PINS, f"cannot be read: {error}", "mend it") from error
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ArtifactError(folder, PINS, "has no list 'in_charge'", 'write in_charge = ["name/version"]')
        unknown = [label for label in labels if label not in {one.label for one in self._artifacts.values()}]
        if unknown:
            raise ArtifactError(folder, PINS, f"pins {', '.join(unknown)}", f"there are {self._listing()}")
        return set(labels)

    def _listing(self) -> str:
        taken = (
            f"{artifact.label} (takes {', '.join(artifact.card.applies_to.modalities)})"
            for artifact in self.artifacts()
        )
        return ", ".join(taken) or "there are no models"


def version_key(version: str) -> tuple[int, ...]:
    """Order versions as numbers, so that 10 comes after 9 and 1.10 after 1.9.

    Examples
    --------
    >>> sorted(["1.10", "1.9", "10", "2"], key=version_key)
    ['1.9', '1.10', '2', '10']
    """
    return tuple(int(part) for part in version.split("."))


def is_version(text: str) -> bool:
    """Whether a text can be a version: whole numbers with dots between them."""
    return _VERSION.fullmatch(text) is not None


def local_version(root: str, taken: Iterable[str]) -> str:
    """Number the next version made on the spot from version `root`: after the highest such number there is.

    Examples
    --------
    >>> local_version("1", ["1", "2"]), local_version("1", ["1", "1.1", "1.9", "1.9.4"])
    ('1.1', '1.10')
    """
    place = len(version_key(root))
    numbers = [
        key[place] for key in map(version_key, taken) if len(key) > place and key[:place] == version_key(root)
    ]
    return f"{root}.{max(numbers, default=0) + 1}"


def _version_folders(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for name_folder in sorted(folder.iterdir()):
        # a hidden folder is a version that is being written
        if name_folder.is_dir() and not name_folder.name.startswith("."):
            for version_folder in sorted(name_folder.iterdir()):
                if version_folder.is_dir() and is_version(version_folder.name):
                    yield version_folder
