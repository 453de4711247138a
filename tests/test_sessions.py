"""A session's randomness follows from its identity alone, and its file from nothing else."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from fakes import CHESS, GALADRIEL, GANDALF, JOKE, NO_TALK, experiment, session

from valuestab_utils.errors import ValuestabError
from valuestab_utils.populations import Persona, load_population, population_names
from valuestab_utils.sessions import slug
from valuestab_utils.topics import Topic, load_topics

# Sessions that differ from the first in one part of the identity each.
DIFFERENT = [
    session(),
    session(model="other"),
    session(format="base"),
    session(population="q"),
    session(persona=GALADRIEL),
    session(topic=CHESS),
    session(seed=2),
]


def first_draws(generator):
    return tuple(generator.integers(2**60, size=4))


def test_identity_has_the_six_names_in_the_order_of_the_columns():
    assert session().identity == {
        "model": "fake",
        "format": "tuned_sys",
        "population": "p",
        "persona": "Gandalf",
        "topic": "joke",
        "seed": 1,
    }
    assert list(session().identity) == ["model", "format", "population", "persona", "topic", "seed"]
    assert str(session()) == "fake/tuned_sys/p/Gandalf/joke/1"
    assert session().key == ("Gandalf", "joke", 1)


def test_noise_differs_for_each_part_of_the_identity_and_each_message():
    draws = [first_draws(s.noise(message)) for s in DIFFERENT for message in (1, 2, 3)]
    assert len(set(draws)) == len(draws)


def test_noise_is_the_same_whenever_it_is_asked_for():
    expected = first_draws(session().noise(3))
    session(seed=5).noise(3).random(10)
    np.random.seed(0)
    session().noise(1).random(1000)
    assert first_draws(session().noise(3)) == expected
    # Pinned: other numbers would be other conversations under an old name.
    assert session().noise(1).integers(1000, size=3).tolist() == [517, 626, 429]


def test_noise_knows_a_persona_by_name_and_not_by_description():
    changed = replace(GANDALF, description="Gandalf the White.")
    assert first_draws(session(persona=changed).noise(1)) == first_draws(session().noise(1))


def test_joined_names_are_no_other_sessions_names():
    one, other = session(Persona("a", "a", "", "M"), seed=11), session(Persona("a", "a", "", "M"), seed=1)
    assert first_draws(one.noise(1)) != first_draws(other.noise(11))
    one = session(model="m/f", format="g")
    assert first_draws(one.noise(1)) != first_draws(session(model="m", format="f/g").noise(1))


def test_option_order_depends_on_all_but_model_and_format():
    orders = [tuple(s.option_order(item, 6) for item in range(1, 41)) for s in DIFFERENT]
    same, other = orders[:3], orders[3:]
    assert len(set(same)) == 1
    assert len({same[0], *other}) == 5
    assert len(set(orders[0])) > 30  # drawn anew for each item


def test_option_order_is_a_permutation_of_the_codes():
    for n in (2, 6, 10):
        assert all(sorted(session().option_order(i, n)) == list(range(1, n + 1)) for i in range(1, 41))
    assert session().option_order(1, 6) == (3, 6, 1, 5, 2, 4)  # as it was in results that are out there
    assert all(type(code) is int for code in session().option_order(1, 6))


def test_other_instruments_and_draws_have_orders_of_their_own():
    def orders(*more):
        return tuple(session().option_order(item, 6, *more) for item in range(1, 41))

    assert orders() == orders("PVQ-40") == orders("PVQ-40", 0)
    others = [orders("Donation"), orders("Stealing"), orders("PVQ-40", 1), orders("Donation", 1), orders("PVQ-40", 2)]
    assert len({orders(), *others}) == 6
    for other in others:  # a model that answers by position shall not give related answers: all is by chance
        codes = np.corrcoef(np.ravel(orders()), np.ravel(other))[0, 1]
        assert abs(codes) < 4 / np.sqrt(240)


def test_option_orders_are_uniform():
    counts = np.zeros((6, 6))
    orders = {}
    n = 6000
    for seed in range(n // 40):
        for item in range(1, 41):
            order = session(seed=seed).option_order(item, 6)
            counts[range(6), np.array(order) - 1] += 1
            orders[order] = orders.get(order, 0) + 1
    # Each code at each letter: binomial(n, 1/6), 36 of them (5 SD is exceeded once in 50,000 tests).
    assert np.abs(counts - n / 6).max() < 5 * np.sqrt(n * 5 / 36)
    chi2 = sum((orders.get(order, 0) - n / 720) ** 2 for order in permutations(range(1, 7))) / (n / 720)
    assert abs(chi2 - 719) < 5 * np.sqrt(2 * 719)


def test_stems_are_distinct_file_names_for_all_built_in_sessions():
    for name in population_names():
        personas = load_population(name)
        stems = [session(p, t, seed).stem for p in personas for t in load_topics() for seed in (1, 2, 11)]
        assert len({stem.lower() for stem in stems}) == len(stems)
        assert all(stem.isascii() and "/" not in stem and not stem.startswith(".") for stem in stems)


@pytest.mark.parametrize(
    "names",
    [
        ("Éowyn", "Eowyn", "Eowyn ", "E\u0301owyn", "eowyn", "Eowyn-", "Eowyn/", "Éowyn/"),
        ("李", "王", "..", ".", "-", "/"),
        ("x" * 300, "x" * 301, "x" * 300 + "y"),
        ("Sam-joke", "Sam", "seed1-Sam"),
    ],
)
def test_stems_are_distinct_for_near_identical_names(names, tmp_path):
    stems = {session(Persona(name, name, "", "M")).stem.lower() for name in names}
    assert len(stems) == len(names)
    for stem in stems:
        (tmp_path / f".{stem}.{'0' * 32}.tmp").touch()  # as the store writes them


def test_stems_are_distinct_where_a_file_system_ignores_case():
    topics = [Topic(name, "Hello.") for name in ("joke", "Joke", "JOKE", "joke-seed1", "j" * 300)]
    assert len({session(topic=topic).stem.lower() for topic in topics}) == len(topics)


def test_slug_is_never_empty():
    assert slug("модель") and slug("модель") != slug("других")
    assert "/" not in slug("../x") and not slug("../x").startswith(".")


@pytest.mark.parametrize("n_messages", [0, -1, 2, True, 1.0, 3.0, "3", None])
def test_bad_n_messages(n_messages):
    with pytest.raises(ValuestabError, match="n_messages is .* must be an odd whole number"):
        experiment(n_messages=n_messages)


@pytest.mark.parametrize("seed", [True, "1", 1.0, None, np.int64(1), "0_1"])
def test_bad_seeds(seed):
    with pytest.raises(ValuestabError, match="is not a plain integer"):
        experiment(seeds=(1, seed))


@pytest.mark.parametrize("kind", ["seeds", "topics", "personas"])
def test_nothing_is_there_twice_or_not_at_all(kind):
    twice = {
        "seeds": (1, 2, 1),
        "topics": (JOKE, CHESS, JOKE),
        "personas": (GANDALF, replace(GANDALF, name="G")),
    }
    for values in (twice[kind], ()):
        with pytest.raises(ValuestabError, match=f"The {kind} of an experiment"):
            experiment(**{kind: values})


def test_sessions_of_an_experiment():
    whole = experiment(topics=(JOKE, NO_TALK), seeds=(1, 2))
    assert len(set(whole.sessions)) == 8
    assert [s.topic.topic for s in whole.sessions] == ["joke"] * 4 + ["no_conversation"] * 4
    assert {whole.messages_of(s) for s in whole.sessions if s.topic == JOKE} == {3}
    assert {whole.messages_of(s) for s in whole.sessions if s.topic == NO_TALK} == {0}
    for one, other in combinations(whole.sessions, 2):
        assert whole.only(one).sessions == (one,) and one != other
