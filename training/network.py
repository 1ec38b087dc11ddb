"""Makes the network that a recipe asks for."""

from models.networks.build import UnknownNetworkError, build_network
from models.networks.outputs import ImageClassifier
from models.networks.weights import WeightsError
from training.errors import TrainingError
from training.recipe import Recipe


def network_of(recipe: Recipe, *, pretrained: bool = False) -> ImageClassifier:
    """Make the recipe's network; `pretrained` starts from ImageNet weights, else they are drawn.

    Raises
    ------
    TrainingError
        If there is no such network, or its weights are not installed.
    """
    spec = recipe.network
    try:
        return build_network(
            spec.name,
            n_classes=len(recipe.classes),
            pretrained=pretrained,
            dropout=spec.dropout,
            drop_path=spec.drop_path,
            folded=spec.folded,
            frozen_blocks=spec.frozen_blocks,
        )
    except (UnknownNetworkError, WeightsError) as error:
        raise TrainingError(f"network.name: {error}") from error
