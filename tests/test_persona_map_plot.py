"""Figure 12 of the paper: every name legible, every class told apart."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from plot_tables import assert_legible, key

from valuestab_utils.errors import ValuestabError
from valuestab_utils.persona_map_plot import label_offsets, persona_map

pytestmark = pytest.mark.usefixtures("notebook_style")


def sixty(spread):
    """Three clouds of twenty characters; the smaller the spread, the more crowded."""
    rng = np.random.default_rng(4)
    places = rng.normal(0, spread, (60, 2)) + np.repeat([[-3, 0], [0, 0.2], [3, 0]], 20, axis=0)
    names = [f"Somebody of {i}" for i in range(60)]
    classes = np.repeat(["positive", "neutral", "negative"], 20)
    return pd.DataFrame({"persona": names, "x": places[:, 0], "y": places[:, 1], "class": classes})


@pytest.mark.parametrize("spread", [1.5, 0.4])
def test_sixty_names_do_not_lie_on_each_other(spread):
    figure = persona_map(sixty(spread), [0.29, 0.11])
    assert len(figure.axes[0].texts) == 60
    assert_legible(figure)
    frame = figure.axes[0].get_window_extent()
    boxes = [Text.get_window_extent(text) for text in figure.axes[0].texts]
    assert all(frame.x0 - 2 < box.x0 and box.x1 < frame.x1 + 2 for box in boxes)


def test_axes_say_what_they_carry():
    axes = persona_map(sixty(1), np.array([0.294, 0.106])).axes[0]
    assert axes.get_xlabel() == "component 1 (29% of variance)"
    assert axes.get_ylabel() == "component 2 (11% of variance)"


def test_classes_have_colours_and_markers_of_their_own():
    points = sixty(1)
    points.loc[[0, 1], "class"] = None
    figure = persona_map(points, [0.3, 0.1])
    assert key(figure) == ["positive", "neutral", "negative", "no class"]
    groups = figure.axes[0].collections
    assert [len(group.get_offsets()) for group in groups] == [18, 20, 20, 2]
    assert len({tuple(group.get_facecolor()[0]) for group in groups}) == 4
    assert len({group.get_paths()[0].vertices.tobytes() for group in groups}) == 4


def test_a_class_that_nobody_knows_is_refused():
    points = sixty(1).assign(**{"class": "evil"})
    with pytest.raises(ValuestabError, match="Unknown class of characters 'evil'"):
        persona_map(points, [0.3, 0.1])


def test_places_of_labels_are_the_same_every_time():
    at, size = sixty(1)[["x", "y"]].to_numpy() * 50 + 250, np.tile([40.0, 8.0], (60, 1))
    bounds = (0, 0, 500, 500)
    np.testing.assert_array_equal(label_offsets(at, size, bounds), label_offsets(at, size, bounds))


def test_labels_of_one_place_do_not_share_it():
    offsets = label_offsets(np.full((3, 2), 50.0), np.tile([20.0, 8.0], (3, 1)), (0, 0, 100, 100))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (np.abs(offsets[i] - offsets[j]) >= [20, 8]).any()


def test_a_label_at_the_edge_stays_inside():
    x, y = label_offsets(np.array([[95.0, 50.0]]), np.array([[20.0, 8.0]]), (0, 0, 100, 100))[0]
    assert 95 + x + 20 <= 100 and x + 95 >= 0


def test_a_map_of_nobody_says_so():
    figure = persona_map(pd.DataFrame(columns=["persona", "x", "y", "class"]), [])
    assert figure.axes[0].texts[0].get_text() == "There are no characters to draw."
