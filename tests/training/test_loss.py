import numpy as np
import pytest
import torch

from training.ema import MovingAverage
from training.loss import class_weights, draw_rows, mix, one_hot, soft_cross_entropy
from training.recipe import LossSpec


def test_the_square_root_rule_draws_a_class_100_times_rarer_10_times_rarer() -> None:
    labels = np.array([0] * 1000 + [1] * 10)
    rows = np.arange(labels.size)
    weights = class_weights(labels, 2, balance=0.5)

    drawn = np.concatenate([labels[draw_rows(rows, labels, weights, (1, epoch))] for epoch in range(40)])

    assert np.sum(drawn == 0) / np.sum(drawn == 1) == pytest.approx(10.0, rel=0.1)


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    labels, rows = np.zeros(50, np.int64), np.arange(50)

    first, again, next_epoch = (draw_rows(rows, labels, None, seed) for seed in ((3, 0), (3, 0), (3, 1)))

    assert sorted(first) == list(range(50))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, next_epoch)


def test_a_class_without_a_row_is_refused() -> None:
    with pytest.raises(ValueError, match="class 1 has no row"):
        class_weights(np.array([0, 2]), 3, balance=0.5)


def test_weights_leave_the_mean_over_the_rows_at_one() -> None:
    labels = np.array([0, 0, 0, 1, 2, 2])

    assert class_weights(labels, 3, balance=0.7)[labels].mean() == pytest.approx(1.0)


def test_the_loss_is_the_smoothed_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[2.0, 0.0]])
    log_p = torch.log_softmax(logits, dim=1)[0]

    loss = soft_cross_entropy(logits, one_hot(torch.tensor([0]), 2), LossSpec(label_smoothing=0.1), None)

    assert loss.item() == pytest.approx(-(0.95 * log_p[0] + 0.05 * log_p[1]).item())


def test_mixing_blends_targets_as_it_blends_images() -> None:
    torch.manual_seed(1)
    labels = torch.arange(4)
    targets = one_hot(labels, 4)
    images = targets[:, None, None, :].expand(4, 3, 2, 4).contiguous()

    mixed_images, mixed_targets = mix(images, targets, alpha=1.0)

    torch.testing.assert_close(mixed_images[:, 0, 0, :], mixed_targets)
    torch.testing.assert_close(mixed_targets.sum(dim=1), torch.ones(4))
    assert not torch.equal(mixed_targets, targets)


def test_without_mixup_no_random_number_is_drawn() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()

    mix(torch.zeros(2, 3, 4, 4), torch.zeros(2, 2), alpha=0.0)

    assert torch.equal(torch.get_rng_state(), before)


def test_the_moving_average_of_a_constant_is_the_constant_and_lags_a_change() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = MovingAverage(network, decay=0.5)
    average.update(network, n_steps=100)
    assert average.state["weight"].item() == 1.0

    network.weight.data.fill_(3.0)
    average.update(network, n_steps=101)
    average.update(network, n_steps=102)

    assert average.state["weight"].item() == pytest.approx(2.5)
