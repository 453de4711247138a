"""A session's randomness follows from its identity alone, and its file from nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import CHESS, GALADRIEL, GANDALF, session

from valuestab_utils.prompts.contexts import Topic
from valuestab_utils.prompts.personas import Persona

# Sessions that differ from the first in one part of the identity each.
DIFFERENT = [session(), session(model="other"), session(format="base"), session(population="q")]
DIFFERENT += [session(persona=GALADRIEL), session(topic=CHESS), session(seed=2)]


def first_draws(generator):
    return tuple(generator.integers(2**60, size=4))


def test_noise_differs_for_each_part_of_the_identity_and_each_message():
    draws = [first_draws(s.noise(message)) for s in DIFFERENT for message in (1, 2, 3)]
    joined = session(seed=11).noise(1), session(seed=1).noise(11)
    joined += session(model="m/f", format="g").noise(1), session(model="m", format="f/g").noise(1)
    draws += map(first_draws, joined)
    assert len(set(draws)) == len(draws)


def test_noise_is_the_same_whenever_it_is_asked_for():
    expected = first_draws(session().noise(3))
    session(seed=5).noise(3).random(10)
    np.random.seed(0)
    session().noise(1).random(1000)
    assert first_draws(session().noise(3)) == expected
    changed = replace(GANDALF, description="Gandalf the White.")
    assert first_draws(session(persona=changed).noise(3)) == expected
    # Pinned: other numbers would be other conversations under an old name.
    assert session().noise(1).integers(1000, size=3).tolist() == [517, 626, 429]


def test_option_order_depends_on_all_but_model_and_format():
    orders = [tuple(s.option_order(item, 6) for item in range(1, 41)) for s in DIFFERENT]
    same, other = orders[:3], orders[3:]
    assert len(set(same)) == 1
    assert len({same[0], *other}) == 5
    assert len(set(orders[0])) > 30  # drawn anew for each item
    assert session().option_order(1, 6) == (3, 6, 1, 5, 2, 4)  # as it was in results that are out there
    for n in (2, 10):
        assert all(sorted(session().option_order(i, n)) == list(range(1, n + 1)) for i in range(1, 41))


def test_other_instruments_and_draws_have_orders_of_their_own():
    def orders(*more):
        return tuple(session().option_order(item, 6, *more) for item in range(1, 41))

    assert orders() == orders("PVQ-40") == orders("PVQ-40", 0)
    others = [orders("Donation"), orders("Stealing"), orders("PVQ-40", 1), orders("Donation", 1), orders("PVQ-40", 2)]
    assert len({orders(), *others}) == 6
    for other in others:  # a model that answers by position shall not give related answers: all is by chance
        codes = np.corrcoef(np.ravel(orders()), np.ravel(other))[0, 1]
        assert abs(codes) < 4 / np.sqrt(240)


@pytest.mark.parametrize(
    "names",
    [
        ("Éowyn", "Eowyn", "Eowyn ", "E\u0301owyn", "eowyn", "Eowyn-", "Eowyn/", "Éowyn/"),
        ("李", "王", "..", ".", "-", "/", "модель", "../x"),
        ("x" * 300, "x" * 301, "x" * 300 + "y"),
        ("Sam-joke", "Sam", "seed1-Sam"),
    ],
)
def test_stems_are_distinct_for_near_identical_names(names, tmp_path):
    of_personas = {session(Persona(name, name, "", "M")).stem.lower() for name in names}
    of_topics = {session(topic=Topic(name, "Hello.")).stem.lower() for name in names}
    assert len(of_personas) == len(of_topics) == len(names)  # also where a file system ignores case
    for stem in of_personas:
        (tmp_path / f".{stem}.{'0' * 32}.tmp").touch()  # as the store writes them
