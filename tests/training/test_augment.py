import pytest
import torch
from torch import Tensor

from training.augment import RandomColour, RandomErasure, RandomPlacement, build_augmentation
from training.recipe import AugmentSpec

STILL = AugmentSpec(flip_horizontal=False)
ALL = AugmentSpec(
    flip_vertical=True,
    rotation_degrees=180.0,
    scale=0.2,
    stretch=0.1,
    shift=0.1,
    brightness=0.2,
    contrast=0.2,
    saturation=0.2,
    hue_degrees=10.0,
    erase_probability=0.5,
)


def _images(n: int = 6, side: int = 16) -> Tensor:
    return torch.randint(0, 256, (n, 3, side, side), generator=torch.Generator().manual_seed(1)).float()


def test_a_recipe_that_asks_for_nothing_changes_nothing() -> None:
    images = _images()

    torch.testing.assert_close(build_augmentation(STILL)(images), images, rtol=0.0, atol=1e-3)


def test_the_same_seed_changes_a_batch_the_same_way_and_another_differently() -> None:
    images, augment = _images(), build_augmentation(ALL)

    def changed(seed: int) -> Tensor:
        torch.manual_seed(seed)
        result: Tensor = augment(images.clone())
        return result

    assert torch.equal(changed(1), changed(1))
    assert not torch.equal(changed(1), changed(2))


def test_the_batch_given_is_left_as_it_was() -> None:
    images = _images()
    kept = images.clone()

    build_augmentation(ALL)(images)

    assert torch.equal(images, kept)


def test_a_flip_is_exact_and_falls_on_about_half_of_the_images() -> None:
    images = _images(n=200, side=8)
    torch.manual_seed(0)

    flipped = RandomPlacement(AugmentSpec(flip_horizontal=True))(images)

    is_flipped = (flipped - images.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-2
    is_kept = (flipped - images).abs().amax(dim=(1, 2, 3)) < 1e-2
    assert bool((is_flipped ^ is_kept).all())
    assert 70 <= int(is_flipped.sum()) <= 130


def test_turning_a_round_lesion_leaves_it_where_it_is() -> None:
    rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    disc = (((rows - 16) ** 2 + (columns - 16) ** 2) < 81).float() * 200.0
    images = disc.expand(4, 3, 33, 33)
    torch.manual_seed(3)

    turned = RandomPlacement(AugmentSpec(flip_horizontal=False, rotation_degrees=180.0))(images)

    assert (turned - images).abs().mean() < 5.0


def test_no_corner_becomes_black() -> None:
    images = torch.full((20, 3, 16, 16), 180.0)
    torch.manual_seed(4)

    placed = RandomPlacement(ALL)(images)

    torch.testing.assert_close(placed, images, rtol=0.0, atol=1e-2)


def test_colour_leaves_the_luma_of_a_hue_turn_alone() -> None:
    images = _images() * 0.5 + 60.0
    luma = torch.tensor([0.299, 0.587, 0.114])
    torch.manual_seed(5)

    turned = RandomColour(AugmentSpec(hue_degrees=10.0))(images)

    assert not torch.allclose(turned, images, atol=1.0)
    torch.testing.assert_close(
        torch.einsum("nchw,c->nhw", turned, luma),
        torch.einsum("nchw,c->nhw", images, luma),
        rtol=0.0,
        atol=0.5,
    )


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_a_change_of_colour_stays_within_what_the_recipe_allows(name: str) -> None:
    grey = torch.full((50, 3, 4, 4), 100.0)
    torch.manual_seed(6)

    changed = RandomColour(AugmentSpec.model_validate({name: 0.2}))(grey)

    # A flat grey image has neither contrast nor saturation to change.
    limit = 20.0 if name == "brightness" else 0.1
    assert (changed - grey).abs().max() <= limit + 1e-3


def test_erased_squares_have_the_images_own_mean_colour() -> None:
    images = _images(n=40)
    torch.manual_seed(7)

    erased = RandomErasure(AugmentSpec(erase_probability=0.99))(images)

    differs = (erased != images).any(dim=1)
    part_erased = differs.float().mean(dim=(1, 2))
    assert part_erased.max() <= 0.35**2
    mean = images.mean(dim=(2, 3))[:, :, None, None].expand_as(images)
    assert torch.equal(erased[differs[:, None].expand_as(images)], mean[differs[:, None].expand_as(images)])


def test_our_transforms_compose_with_torchvisions_own() -> None:
    from models.networks.torchvision_operators import v2

    both = v2.Compose([build_augmentation(ALL), v2.GaussianBlur(3)])

    assert both(_images()).shape == (6, 3, 16, 16)
