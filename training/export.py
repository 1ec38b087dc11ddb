"""Writes a run's network as ONNX, proves that it gives what torch gives, and ships it with its card.

Unless told not to, it also makes and measures the variant in 8-bit integers (:mod:`training.quantise`).
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models import novelty
from models.artifact import Artifact, write_artifact
from models.card import ModelCard, Precision, TrainingData
from models.errors import ModelError
from models.networks.outputs import ImageClassifier
from models.novelty import NoveltyModel
from models.runtime import Session
from training.abstention import NoveltyMaterial
from training.appraisal import measure_abstention_of, read_groups
from training.context import read_context
from training.dataset import Pixels
from training.errors import ExportError
from training.graph import forget_where_it_was_made
from training.groups import group_metrics
from training.pool import measured_on
from training.predictions import ScoredSet, read_scored
from training.quantise import Pictures, quantise
from training.recipe import Recipe, SplitPart
from training.run import Run, read_json
from training.shipping import Shipped, limit_of, measure_itself, shipped_network

# The newest that ONNX Runtime 1.23, the oldest allowed, takes in full.
OPSET = 20
MAX_DIFFERENCE = 1e-4
MIN_PROOF_IMAGES = 64


class ServedNetwork(nn.Module):
    """A network as it is served: pixels as they come in memory go in, places last come out."""

    def __init__(self, network: ImageClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take uint8 (batch, height, width, 3); give logits, features, and the map with its classes last."""
        outputs = self.network(image.permute(0, 3, 1, 2).float())
        return outputs.logits, outputs.features, outputs.maps.permute(0, 2, 3, 1)


def export(
    recipe: Recipe,
    network: ImageClassifier,
    proof_pixels: Pixels,
    run: Run,
    destination: Path,
    *,
    shipped: Shipped | None = None,
    scored: Mapping[SplitPart, ScoredSet] | None = None,
    pictures: Pictures | None = None,
    material: NoveltyMaterial | None = None,
) -> tuple[Artifact, float]:
    """Write the model's folder ``destination/<name>/<version>``.

    Parameters
    ----------
    recipe : Recipe
        Names the model and its classes.
    network : ImageClassifier
        The best weights.
    proof_pixels : (n, height, width, 3) uint8
        Real images, at least 64, on which torch and ONNX Runtime must agree.
    run : Run
        Evaluated and calibrated.
    destination : Path
        A folder of models.
    shipped : Shipped or None
        Which network it is; by default that of :func:`training.shipping.shipped_network`.
    scored : mapping of SplitPart to ScoredSet or None
        What the network gives for the parts that `shipped` names, by which it knows its own kind of picture.
        None: as the run was evaluated.
    pictures : Pictures or None
        From which the variant in 8-bit integers is made and measured; it stands beside where it is accepted.
        None: floating point alone.
    material : NoveltyMaterial or None
        What the pictures look like, for the model to know foreign ones; how well it does is measured with
        what is shipped, and stands in the card and in the run's folder. None: features alone tell.

    Returns
    -------
    Artifact, float
        What was written, and the largest difference between torch and ONNX Runtime in any output.

    Raises
    ------
    ExportError
        If they differ by more than 1e-4 anywhere; nothing is written then.
    """
    if len(proof_pixels) < MIN_PROOF_IMAGES:
        raise ExportError(f"{len(proof_pixels)} images prove too little, expected {MIN_PROOF_IMAGES}")
    shipped = shipped or shipped_network(recipe, run)
    if scored is None:
        scored = {part: read_scored(run.predictions(part)) for part in recipe.folds.parts}
    known = fit_novelty(recipe, scored["train"], scored["validation"], material)
    onnx = to_onnx(network, recipe.input.height)
    card = fill_card(recipe, run, shipped, scored)
    try:
        with tempfile.TemporaryDirectory() as staging:
            staged = write_artifact(Path(staging) / recipe.version, onnx=onnx, card=card, novelty=known)
            plain = Session(staged, precision=Precision.FLOAT)
            difference = largest_difference(network, plain, proof_pixels)
            if not difference <= MAX_DIFFERENCE:
                raise ExportError(
                    f"torch and ONNX Runtime differ by {difference:.2e} on {len(proof_pixels)} images, "
                    f"expected at most {MAX_DIFFERENCE}; nothing was written"
                )
            int8 = None
            if pictures is not None:
                int8, card["variants"] = quantise(staged, pictures)
            if material is not None:
                whole = Path(staging) / "whole" / recipe.version
                as_served = write_artifact(whole, onnx=onnx, card=card, novelty=known, int8=int8)
                metrics = measure_abstention_of(shipped.view, Session(as_served), material, run)
                card["metrics"] = [*as_served.card.metrics, *metrics]
        folder = destination / recipe.name / recipe.version
        return write_artifact(folder, onnx=onnx, card=card, novelty=known, int8=int8), difference
    except ModelError as error:
        raise ExportError(str(error)) from error


def to_onnx(network: ImageClassifier, px: int) -> bytes:
    """Give the network as one ONNX file: any batch, fixed size, normalisation inside.

    The exporter's own optimiser folds batch normalisation into the convolutions.
    """
    example = torch.zeros(2, px, px, 3, dtype=torch.uint8)
    with warnings.catch_warnings():
        # torch.export still meets its own deprecated LeafSpec when it copies its example inputs
        warnings.simplefilter("ignore", FutureWarning)
        program = torch.onnx.export(
            ServedNetwork(network).cpu().eval(),
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=["image"],
            output_names=["logits", "features", "map"],
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            verbose=False,
        )
    if program is None:
        raise ExportError("torch's exporter gave no program")
    model = program.model_proto
    forget_where_it_was_made(model)
    return bytes(model.SerializeToString())


@torch.inference_mode()
def largest_difference(network: ImageClassifier, session: Session, pixels: Pixels) -> float:
    """Compare torch with ONNX Runtime on images (n, height, width, 3); give the largest difference."""
    served = ServedNetwork(network).cpu().eval()
    largest = 0.0
    for start in range(0, len(pixels), 16):
        batch = np.array(pixels[start : start + 16])  # a copy: torch takes no read-only memory
        outputs = session.run(batch)
        given = served(torch.from_numpy(batch))
        for ours, theirs in zip(given, (outputs.logits, outputs.features, outputs.maps), strict=True):
            largest = max(largest, float(np.abs(ours.numpy() - theirs).max()))
    return largest


def fit_novelty(
    recipe: Recipe, train: ScoredSet, validation: ScoredSet, material: NoveltyMaterial | None = None
) -> NoveltyModel:
    """Learn features, and looks if there are any, of the training folds; validation sets the threshold."""
    known = novelty.fit(
        train.features, train.labels, acceptance=recipe.novelty_acceptance, held_out=validation.features
    )
    if material is None:
        return known
    looks = material.looks
    return novelty.with_looks(known, looks.train, looks.held_out, validation.features[looks.held_out_places])


def fill_card(
    recipe: Recipe, run: Run, shipped: Shipped, scored: Mapping[SplitPart, ScoredSet]
) -> dict[str, object]:
    """Put the card's fields together from the recipe and the run's files, its figures by group among them."""
    calibrated = read_json(run.calibration)
    context = read_context(recipe, run)
    evaluated = read_json(run.evaluation)
    measured = group_metrics(read_groups(run), measured_on(recipe, run))
    itself = measure_itself(recipe, run, shipped)
    limits = (*recipe.limits, *recipe.source.limits, *limit_of(recipe, run, shipped, itself))
    data = _training_data(recipe, run, shipped, scored)
    return {
        "name": recipe.name,
        "version": recipe.version,
        "title_en": recipe.title_en,
        "title_zh": recipe.title_zh,
        "task": recipe.task,
        "created": datetime.now(UTC),
        "licence": recipe.licence,
        "applies_to": recipe.applies_to,
        "classes": [spec.model_dump(mode="json") for spec in recipe.classes],
        "input": recipe.input,
        "pooling": recipe.pooling,
        "pooling_parameters": calibrated.get("pooling_parameters", {}),
        "calibration": calibrated["calibration"],
        "operating_points": calibrated["operating_points"],
        "context": None if context is None else context.model_dump(mode="json"),
        "training_data": [part.model_dump(mode="json") for part in data],
        "metrics": [
            *evaluated["metrics"],
            *(metric.model_dump(mode="json") for metric in (*itself, *measured)),
        ],
        "intended_use": recipe.intended_use,
        "limits": limits or ["None were stated."],
        "recipe_sha256": recipe.sha256,
    }


def _training_data(
    recipe: Recipe, run: Run, shipped: Shipped, scored: Mapping[SplitPart, ScoredSet]
) -> Iterator[TrainingData]:
    """Name what trained the network and what it was measured on."""
    if recipe.folds.cross:
        every, trained = read_scored(run.predictions("test")), shipped.trained.folds
        seen = every if shipped.is_refit else scored["train"]
        named = {
            "train": (trained.text_of(trained.train), seen),
            "test": (measured_on(recipe, run), every),
        }
    else:
        named = {
            part: (recipe.folds.text_of(folds), scored[part]) for part, folds in recipe.folds.parts.items()
        }
    split_sha256 = read_json(shipped.run.facts)["split_sha256"]
    for part, (split, rows) in named.items():
        yield TrainingData(
            source=recipe.source.title,
            licence=recipe.source.licence,
            role=part,
            split=split,
            split_sha256=split_sha256,
            n_images=len(rows.labels),
            n_groups=rows.n_groups,
        )


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model that was exported."""
    return ModelCard.model_validate_json((folder / "card.json").read_text(encoding="utf-8"))
