"""A model on disk: a folder of ``model.onnx``, ``card.json`` and, where it can tell, ``novelty.npz``.

The same network in 8-bit integers, ``model-int8.onnx``, stands beside where it was accepted. The card binds
the others by their SHA-256, so a card never speaks for a file it does not know. A
folder is complete or refused: it is written beside its place and renamed into it, and it is never
overwritten, for results name the version that made them. Further files (``CARD.md``, its pictures) may
stand beside.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from models import novelty_archive
from models.card import ModelCard, Precision
from models.errors import ArtifactError
from models.novelty import NoveltyModel

ONNX = "model.onnx"
INT8 = "model-int8.onnx"
CARD = "card.json"
NOVELTY = "novelty.npz"

# A card is a few pages of text; whatever is larger is not one and is not read into memory.
MAX_CARD_BYTES = 4_000_000

# What a card lacks most often, and what mends it.
_REQUIRED = {
    "calibration": "fit the temperature with 'firstread-train calibrate'",
    "operating_points": "choose them with 'firstread-train calibrate'",
    "input": "state how a frame becomes the network's input and export again",
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model whose files were checked against its card."""

    card: ModelCard
    folder: Path
    onnx_path: Path
    novelty: NoveltyModel | None = field(default=None, repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name and version as results and messages show them: ``derm-lesion/1``."""
        return f"{self.card.name}/{self.card.version}"

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """The variants of the network that stand in the folder."""
        has_int8 = self.card.variants is not None and self.card.variants.int8_sha256 is not None
        return (Precision.FLOAT, Precision.INT8) if has_int8 else (Precision.FLOAT,)

    @property
    def cpu_precision(self) -> Precision:
        """The variant that a CPU runs: the faster one that was accepted when the model was exported."""
        return Precision.FLOAT if self.card.variants is None else self.card.variants.on_cpu

    def variant(self, precision: Precision) -> tuple[Path, str]:
        """Give a variant's file and the SHA-256 that the card binds it by.

        Raises
        ------
        ArtifactError
            If the model has no such variant.
        """
        if precision is Precision.FLOAT:
            return self.onnx_path, self.card.onnx_sha256
        sha256 = None if self.card.variants is None else self.card.variants.int8_sha256
        if sha256 is None:
            refusals = () if self.card.variants is None else self.card.variants.refusals
            why = f": {'; '.join(refusals)}" if refusals else ""
            raise ArtifactError(self.folder, CARD, f"names no int8 variant{why}", "run the float one")
        return self.folder / INT8, sha256

    def read_variant(self, precision: Precision) -> bytes:
        """Read a variant's network, once more checked against the card.

        Raises
        ------
        ArtifactError
            If there is no such variant, or its file has changed since the folder was read.
        """
        path, expected = self.variant(precision)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unreadable(self.folder, path.name, error) from error
        _check_same(self.folder, path.name, hashlib.sha256(content).hexdigest(), expected)
        return content


def read_artifact(folder: Path) -> Artifact:
    """Read a model's folder and check it whole.

    Raises
    ------
    ArtifactError
        If a file is missing, differs from what the card says, or the card is incomplete; names the
        file, the field and the remedy.
    """
    if not folder.is_dir():
        raise ArtifactError(
            folder, "", "is not a folder", "name the folder that holds model.onnx and card.json"
        )
    card = _read_card(folder)
    _check_hash(folder, ONNX, card.onnx_sha256)
    if card.variants is not None and card.variants.int8_sha256 is not None:
        _check_hash(folder, INT8, card.variants.int8_sha256)
    else:
        _check_absent(folder, INT8)
    novelty = None
    if card.novelty is not None:
        _check_hash(folder, NOVELTY, card.novelty.file_sha256)
        try:
            novelty = novelty_archive.load(folder / NOVELTY)
        except ValueError as error:
            raise ArtifactError(
                folder, NOVELTY, f"cannot be read: {error}", "export the model again"
            ) from error
    else:
        _check_absent(folder, NOVELTY)
    return Artifact(card=card, folder=folder, onnx_path=folder / ONNX, novelty=novelty)


def write_artifact(
    folder: Path,
    *,
    onnx: bytes,
    card: ModelCard | Mapping[str, object],
    novelty: NoveltyModel | None = None,
    int8: bytes | None = None,
) -> Artifact:
    """Write a model's folder, complete or not at all.

    Parameters
    ----------
    folder : Path
        The version's own folder, ``<name>/<version>``; it must not exist.
    onnx : bytes
        The network, one file without external data.
    card : ModelCard or mapping
        A mapping needs neither ``onnx_sha256`` nor ``novelty``; both are filled in (and a card's own
        are replaced) by what is written.
    novelty : NoveltyModel or None
        Goes to ``novelty.npz``.
    int8 : bytes or None
        The accepted network in 8-bit integers, for ``model-int8.onnx``; the card's ``variants`` must hold
        its figures. Without it a card keeps those of a variant that was refused, and no others.

    Raises
    ------
    ArtifactError
        If the folder exists, the card is incomplete, or the disk refuses.
    """
    if folder.exists():
        raise ArtifactError(folder, "", "exists and is never overwritten", "write a new version")
    archive = None if novelty is None else novelty_archive.to_npz(novelty)
    given = {ONNX: onnx, INT8: int8, NOVELTY: archive}
    contents = {file: content for file, content in given.items() if content is not None}
    bound = _bind(folder, card, contents, novelty)
    # the card last: without it the folder is refused, wherever the writing stopped
    contents[CARD] = (bound.model_dump_json(indent=2) + "\n").encode()
    try:
        _write_whole(folder, contents)
    except OSError as error:
        raise ArtifactError(
            folder, "", f"cannot be written: {error}", "free space or choose another folder"
        ) from error
    return read_artifact(folder)


def _read_card(folder: Path) -> ModelCard:
    path = folder / CARD
    try:
        if path.stat().st_size > MAX_CARD_BYTES:
            raise ArtifactError(folder, CARD, f"is larger than {MAX_CARD_BYTES} bytes", "it is not a card")
        text = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            folder, CARD, f"cannot be read: {error.strerror}", "export the model again"
        ) from error
    return _parse_card(folder, text)


def _parse_card(folder: Path, text: bytes | str) -> ModelCard:
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "missing" and place in _REQUIRED:
            raise ArtifactError(folder, CARD, f"has no {place}", _REQUIRED[place]) from error
        problem = (
            f"has {error.error_count()} wrong fields, the first {place or '(the whole)'}: {first['msg']}"
        )
        raise ArtifactError(folder, CARD, problem, "mend the field or export the model again") from error


def _bind(
    folder: Path,
    card: ModelCard | Mapping[str, object],
    contents: Mapping[str, bytes],
    novelty: NoveltyModel | None,
) -> ModelCard:
    fields = card.model_dump(mode="json") if isinstance(card, ModelCard) else dict(card)
    sha256 = {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    fields["onnx_sha256"] = sha256[ONNX]
    fields["novelty"] = None
    if novelty is not None:
        fields["novelty"] = {
            "method": "mahalanobis-and-looks" if novelty.looks else "mahalanobis",
            "threshold": novelty.threshold,
            "acceptance": novelty.acceptance,
            "file_sha256": sha256[NOVELTY],
        }
    plain: dict[str, object] = json.loads(json.dumps(fields, default=_as_json))
    plain["variants"] = _bind_int8(folder, plain.get("variants"), sha256.get(INT8))
    return _parse_card(folder, json.dumps(plain))


def _bind_int8(folder: Path, variants: object, sha256: str | None) -> dict[str, object] | None:
    """Bind the figures of the variants to the file that is written; drop those of one that is not."""
    if not isinstance(variants, dict):
        if sha256 is not None:
            raise ArtifactError(
                folder, CARD, f"has no variants, the figures of {INT8}", "measure it with training.quantise"
            )
        return None
    if sha256 is None:
        return variants if variants.get("refusals") else None
    return variants | {"int8_sha256": sha256}


def _as_json(value: object) -> object:
    """Show json what a card's parts and dates are (a mapping may hold either)."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else str(value)


def _check_hash(folder: Path, file: str, expected: str) -> None:
    try:
        with (folder / file).open("rb") as content:
            found = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(folder, file, error) from error
    _check_same(folder, file, found, expected)


def _check_absent(folder: Path, file: str) -> None:
    if (folder / file).exists():
        raise ArtifactError(folder, file, "is not named in card.json", "export the model again, or remove it")


def _unreadable(folder: Path, file: str, error: OSError) -> ArtifactError:
    return ArtifactError(folder, file, f"cannot be read: {error.strerror}", "export the model again")


def _check_same(folder: Path, file: str, found: str, expected: str) -> None:
    if found != expected:
        raise ArtifactError(
            folder,
            file,
            f"is not the file that card.json speaks for (SHA-256 {found[:12]}, expected {expected[:12]})",
            "copy the folder again from where it was exported",
        )


def _write_whole(folder: Path, contents: Mapping[str, bytes]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        for name, content in contents.items():
            with (partial / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        partial.chmod(0o755)  # mkdtemp makes it private; a model is read by the service's own user
        _sync_folder(partial)
        partial.rename(folder)
        _sync_folder(folder.parent)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
