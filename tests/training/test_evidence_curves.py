import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from models.errors import InputError
from models.runtime import Outputs, Session
from tests.tiny_model import write_tiny_artifact
from training.evidence_curves import (
    EvidenceCurves,
    choose_pictures,
    removal_order,
    section,
    summarise,
    trace_curves,
)

SIDE = 32  # the tiny model's: 4 x 4 cells of 8 pixels


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(write_tiny_artifact(tmp_path_factory.mktemp("models"), temperature=2.0))


def _red_corners(n: int) -> NDArray[np.uint8]:
    """Draw black pictures with red in one corner, the only thing that makes the tiny model say malignant."""
    pictures = np.zeros((n, SIDE, SIDE, 3), np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (0, 18)[number % 2], (0, 18)[number // 2 % 2]
        picture[top : top + 14, left : left + 18, 0] = 255
    return pictures


def test_the_deletion_curve_is_that_worked_out_by_hand(session: Session) -> None:
    picture = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    picture[:, :, : SIDE // 2, 0] = 254  # the left half; the mean red is 127, exactly half of it

    curves = trace_curves(session, picture, seed=0, n_steps=4)

    # a quarter of the pixels at a time: red ones become half red, then black ones become half red
    red_parts = np.array([1 / 2, 3 / 8, 1 / 4, 3 / 8, 1 / 2]) * 254 / 255
    evidence = red_parts * (8 + 4 / 3) - 2
    np.testing.assert_allclose(curves.deletion["own"][0], 1 / (1 + np.exp(-2 * evidence / 2.0)), atol=1e-5)
    np.testing.assert_array_equal(curves.fractions, [0, 0.25, 0.5, 0.75, 1])


def test_every_curve_begins_and_ends_with_the_whole_picture_or_none_of_it(session: Session) -> None:
    curves = trace_curves(session, _red_corners(4), seed=0, n_steps=3)

    for place, of_maps in ((0, curves.deletion), (-1, curves.insertion), (-1, curves.deletion)):
        for name in ("shifted", "centred"):
            np.testing.assert_allclose(of_maps[name][:, place], of_maps["own"][:, place], atol=1e-6)
    np.testing.assert_allclose(curves.deletion["own"][:, 0], curves.insertion["own"][:, -1], atol=1e-6)


def test_a_true_map_beats_the_shifted_and_the_centred_one(session: Session) -> None:
    curves = trace_curves(session, _red_corners(16), seed=1, n_steps=10)

    figures = summarise(curves, np.arange(16).astype(str), seed=0, n_resamples=200)

    for gains in (figures.deletion_gain, figures.insertion_gain):
        assert gains["shifted"].low > 0
        assert gains["centred"].low > 0


def test_pictures_of_which_all_places_tell_the_same_give_no_gain(session: Session) -> None:
    curves = trace_curves(session, np.full((4, SIDE, SIDE, 3), 255, np.uint8), seed=1, n_steps=5)

    figures = summarise(curves, np.arange(4).astype(str), seed=0, n_resamples=20)

    for gains in (figures.deletion_gain, figures.insertion_gain):
        assert gains["shifted"].value == pytest.approx(0, abs=1e-6)
        assert gains["centred"].value == pytest.approx(0, abs=1e-6)


def test_the_cost_is_six_curves_a_picture(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    run, sizes = session.run, []

    def counted(batch: NDArray[np.uint8]) -> Outputs:
        sizes.append(len(batch))
        return run(batch)

    monkeypatch.setattr(session, "run", counted)
    trace_curves(session, _red_corners(3), seed=0, n_steps=5)

    assert sum(sizes) == 3 * (1 + 6 * (5 + 1))
    assert max(sizes) == 5 + 1


def test_the_same_seed_gives_the_same_curves_and_the_pictures_stay_as_they_were(session: Session) -> None:
    pictures = _red_corners(3)
    pictures.flags.writeable = False

    first, second = (trace_curves(session, pictures, seed=3, n_steps=4) for _ in range(2))

    for name in ("own", "shifted", "centred"):
        np.testing.assert_array_equal(first.deletion[name], second.deletion[name])
        np.testing.assert_array_equal(first.insertion[name], second.insertion[name])


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 7), st.integers(1, 7)), elements=st.floats(-9, 9, width=32)
    ),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_every_pixel_has_its_own_place_in_the_order(
    evidence: NDArray[np.float32], height: int, width: int
) -> None:
    places = removal_order(evidence, (height, width))

    assert sorted(places.ravel().tolist()) == list(range(height * width))


def test_areas_and_gains_are_those_of_curves_drawn_by_hand() -> None:
    fractions = np.array([0.0, 0.5, 1.0])
    early, late = np.array([[1.0, 0.0, 0.0]] * 4), np.array([[1.0, 1.0, 0.0]] * 4)
    curves = EvidenceCurves(
        fractions=fractions,
        deletion={"own": early, "shifted": late, "centred": early},
        insertion={"own": late, "shifted": early, "centred": late},
    )

    figures = summarise(curves, np.array(["a", "a", "b", "c"]), seed=0, n_resamples=20)

    assert figures.deletion_area == {"own": 0.25, "shifted": 0.75, "centred": 0.25}
    assert figures.deletion_gain["shifted"].value == figures.insertion_gain["shifted"].value == 0.5
    assert figures.deletion_gain["centred"].value == 0.0
    assert "| shifted | 0.750 | +0.500 (+0.500 to +0.500) | 0.250 |" in section(figures)
    assert "4 pictures" in section(figures)


def test_pictures_are_chosen_of_every_class_in_turn_and_of_no_lesion_twice() -> None:
    labels = np.array([0] * 100 + [1] * 40 + [2] * 4)
    groups = (np.arange(144) // 2).astype(str)

    rows = choose_pictures(labels, groups, 20, seed=0)

    assert np.bincount(labels[rows]).tolist() == [9, 9, 2]
    assert len(set(groups[rows])) == 20
    np.testing.assert_array_equal(rows, choose_pictures(labels, groups, 20, seed=0))
    assert len(choose_pictures(labels, groups, 1000, seed=0)) == 72


def test_what_is_no_input_of_the_model_is_refused(session: Session) -> None:
    with pytest.raises(InputError, match="takes"):
        trace_curves(session, np.zeros((1, 8, 8, 3), np.uint8), seed=0)
    with pytest.raises(ValueError, match="expected at least 1 of both"):
        trace_curves(session, np.zeros((0, SIDE, SIDE, 3), np.uint8), seed=0)


def test_groups_of_another_number_of_pictures_are_refused(session: Session) -> None:
    curves = trace_curves(session, _red_corners(1), seed=0, n_steps=1)

    with pytest.raises(ValueError, match="1 curves, but"):
        summarise(curves, np.array(["a", "b"]), seed=0)
