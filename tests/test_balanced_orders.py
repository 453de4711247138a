"""Balanced option orders: hand-computed averages, a known letter bias, and what must not change an answer."""

import numpy as np
import pandas as pd
import pytest

from valuestab_utils.balanced_orders import (
    balanced_answers,
    balanced_frame,
    check_latin_square,
    letter_bias,
    rotated_orders,
)
from valuestab_utils.errors import ValuestabError

CODES = np.arange(1, 7)
LATENT = np.linspace(1, 5.875, 40)
BIASES = [0.0, 0.5, 1.0, 3.0, 20.0, -4.0]


def square(n_items, n=6, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([rotated_orders(rng.permutation(n) + 1) for _ in range(n_items)])


def respond(latent, orders, bias=0.0, letter=2):
    """Log-probabilities of the letters: quadratic loss in each option, and so many nats on one letter."""
    utilities = -((orders - np.asarray(latent)[:, None, None]) ** 2) / 0.5
    utilities = utilities + bias * (np.arange(orders.shape[2]) == letter)
    return utilities - np.logaddexp.reduce(utilities, axis=2, keepdims=True)


def normal_logprobs(orders, seed=0):
    """Log-probabilities without any structure."""
    utilities = np.random.default_rng(seed).normal(size=orders.shape)
    return utilities - np.logaddexp.reduce(utilities, axis=2, keepdims=True)


# --- orders


def test_rotations_by_hand():
    assert rotated_orders((3, 1, 2, 4)) == ((3, 1, 2, 4), (1, 2, 4, 3), (2, 4, 3, 1), (4, 3, 1, 2))
    assert rotated_orders(np.array([1])) == ((1,),)
    assert all(type(code) is int for order in rotated_orders(np.array([2, 1])) for code in order)


@pytest.mark.parametrize("n", range(1, 8))
def test_rotations_are_a_latin_square(n):
    orders = square(5, n)
    assert check_latin_square(orders).shape == (5, n, n)
    for letter in range(n):
        assert (np.sort(orders[:, :, letter], axis=1) == np.arange(1, n + 1)).all()


@pytest.mark.parametrize("order", [[], [0, 1, 2], [1, 1, 2], [2, 3, 4]])
def test_no_option_order(order):
    with pytest.raises(ValuestabError, match="each of the codes 1 to"):
        rotated_orders(order)


def test_any_latin_square_will_do():
    orders = np.array([[[1, 2, 3], [3, 1, 2], [2, 3, 1]]])
    assert (check_latin_square(orders.astype(float)) == orders).all()


@pytest.mark.parametrize(
    "wrong",
    [
        [[1, 2, 3], [2, 3, 1], [2, 3, 1]],  # an order twice
        [[1, 2, 3], [1, 3, 2], [2, 1, 3]],  # 1 stands twice at the first letter
        [[1, 1, 1], [2, 2, 2], [3, 3, 3]],  # an option at all letters
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]],  # codes from 0
    ],
)
def test_no_latin_square_names_the_item(wrong):
    orders = np.array([[[1, 2, 3], [2, 3, 1], [3, 1, 2]], wrong])
    with pytest.raises(ValuestabError, match=r"Item 1 .* do not show each of the codes 1 to 3 once"):
        check_latin_square(orders)
    with pytest.raises(ValuestabError, match=r"Item 1 "):
        balanced_answers(np.zeros((2, 3, 3)), orders)


@pytest.mark.parametrize("shape", [(3, 3), (1, 2, 3), (1, 0, 0)])
def test_orders_of_another_shape(shape):
    with pytest.raises(ValuestabError, match="as many rotations as"):
        check_latin_square(np.ones(shape))


# --- answers


def test_by_hand():
    # Orders 2 1 and 1 2. Option 1: -3 (at B), -1 (at A): mean -2; option 2: -2, -4: mean -3.
    orders = np.array([[[2, 1], [1, 2]]])
    result = balanced_answers([[[-2.0, -3.0], [-1.0, -4.0]]], orders)
    assert result.option_logprobs.tolist() == [[-2.0, -3.0]]
    assert (result.answer.tolist(), result.single_answer.tolist(), result.ties) == ([1], [2], 0)
    # 1 x 1 + 2 x e^-1 over 1 + e^-1
    np.testing.assert_allclose(result.expected, [(1 + 2 * np.exp(-1)) / (1 + np.exp(-1))], rtol=1e-15)


@pytest.mark.parametrize("bias", BIASES)
def test_letter_bias_changes_no_balanced_answer(bias):
    orders = square(len(LATENT))
    latent = LATENT + 0.03  # away from ties
    plain, biased = (balanced_answers(respond(latent, orders, b), orders) for b in (0.0, bias))
    np.testing.assert_array_equal(biased.answer, np.rint(latent).clip(1, 6))
    np.testing.assert_array_equal(biased.answer, plain.answer)
    np.testing.assert_allclose(biased.expected, plain.expected, atol=1e-9)
    distribution = np.exp(respond(latent, orders)[:, 0])  # without bias one order is enough
    np.testing.assert_allclose(plain.expected, (distribution * orders[:, 0]).sum(1), atol=1e-9)
    np.testing.assert_array_equal(plain.single_answer, plain.answer)


def test_one_order_is_distorted():
    orders = square(len(LATENT))
    latent = LATENT + 0.03
    single = [balanced_answers(respond(latent, orders, b), orders).single_answer for b in BIASES]
    wrong = [(answer != np.rint(latent).clip(1, 6)).mean() for answer in single]
    assert wrong[0] == 0 and wrong[0] < wrong[1] < wrong[2] < wrong[3] < wrong[4]
    np.testing.assert_array_equal(
        balanced_answers(respond(latent, orders, 500), orders).single_answer, orders[:, 0, 2]
    )


def test_any_additive_preference_of_letters_cancels():
    orders = square(30)
    logprobs = normal_logprobs(orders)
    preference = np.random.default_rng(1).normal(size=(30, 1, 6))  # another one for each item
    plain, biased = balanced_answers(logprobs, orders), balanced_answers(logprobs + preference, orders)
    np.testing.assert_array_equal(plain.answer, biased.answer)
    np.testing.assert_allclose(plain.expected, biased.expected, atol=1e-12)


def test_constant_of_a_rotation_cancels():
    orders = square(30)
    logprobs = normal_logprobs(orders)
    constant = np.random.default_rng(1).normal(size=(30, 6, 1)) * 10
    plain, moved = balanced_answers(logprobs, orders), balanced_answers(logprobs + constant, orders)
    np.testing.assert_array_equal(plain.answer, moved.answer)
    np.testing.assert_array_equal(plain.single_answer, moved.single_answer)
    np.testing.assert_allclose(plain.expected, moved.expected, atol=1e-12)


@pytest.mark.parametrize("start", range(1, 6))
def test_which_rotation_is_first_does_not_matter(start):
    orders = square(30)
    logprobs = normal_logprobs(orders)
    plain = balanced_answers(logprobs, orders)
    rolled = balanced_answers(np.roll(logprobs, -start, axis=1), np.roll(orders, -start, axis=1))
    np.testing.assert_array_equal(plain.answer, rolled.answer)
    np.testing.assert_allclose(plain.expected, rolled.expected, atol=1e-12)


def test_names_of_letters_do_not_matter():
    orders = square(30)
    logprobs, relabelled = normal_logprobs(orders), np.random.default_rng(2).permutation(6)
    plain = balanced_answers(logprobs, orders)
    other = balanced_answers(logprobs[:, :, relabelled], orders[:, :, relabelled])
    np.testing.assert_array_equal(plain.answer, other.answer)
    np.testing.assert_array_equal(plain.single_answer, other.single_answer)
    np.testing.assert_allclose(plain.expected, other.expected, atol=1e-12)


def test_renaming_the_codes_renames_the_answers():
    orders = square(30)
    logprobs, renamed = normal_logprobs(orders), np.array([3, 6, 1, 5, 2, 4])
    plain, other = balanced_answers(logprobs, orders), balanced_answers(logprobs, renamed[orders - 1])
    np.testing.assert_array_equal(other.answer, renamed[plain.answer - 1])


def test_a_respondent_of_letters_alone_has_no_answer():
    orders = square(4)
    only_c = np.tile(np.log([0.1, 0.1, 0.5, 0.1, 0.1, 0.1]), (4, 6, 1))
    result = balanced_answers(only_c, orders)
    assert result.ties == 4 and result.tied.all()
    assert result.answer.tolist() == [1, 1, 1, 1]  # the lowest code, by the rule
    np.testing.assert_allclose(result.expected, 3.5)
    np.testing.assert_array_equal(result.single_answer, orders[:, 0, 2])


def test_ties_go_to_the_lowest_code_and_are_counted():
    orders = square(2)
    liking = np.array([[-9.0, -1.0, -5.0, -1.0, -9.0, -9.0], [-9.0, -8.0, -7.0, -6.0, -5.0, -4.0]])
    logprobs = np.stack([own[order - 1] for own, order in zip(liking, orders)])
    result = balanced_answers(logprobs, orders)
    assert (result.answer.tolist(), result.tied.tolist(), result.ties) == ([2, 6], [True, False], 1)
    logprobs[0, 0] += 1e-12 * (orders[0, 0] == 4)  # rounding does not decide
    assert balanced_answers(logprobs, orders).answer[0] == 2
    logprobs[0, 0] += 1e-6 * (orders[0, 0] == 4)
    assert (balanced_answers(logprobs, orders).answer[0], balanced_answers(logprobs, orders).ties) == (4, 0)


def test_probability_of_nil_in_one_rotation_excludes_the_option():
    orders = square(1)
    logprobs = np.array([-6.0, -5, -4, -3, -2, -1])[orders - 1]  # code 6 is best
    logprobs[0, 3, orders[0, 3] == 6] = -np.inf
    result = balanced_answers(logprobs, orders)
    assert result.answer.tolist() == [5]
    assert result.option_logprobs[0].tolist() == [-6, -5, -4, -3, -2, -np.inf]
    weights = np.exp([-6.0, -5, -4, -3, -2])
    np.testing.assert_allclose(result.expected, [(weights * CODES[:5]).sum() / weights.sum()])


def impossible(orders, at, value):
    logprobs = normal_logprobs(orders)
    logprobs[1][at] = value
    return logprobs


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        ((0, 0), np.nan, "is NaN or"),
        ((3, 2), np.inf, r"\+inf"),
        ((2,), -np.inf, "in one rotation no letter has a probability"),
        ((slice(None), 5), -np.inf, "every option has the probability 0 in one of its rotations"),
    ],
)
def test_no_answer_without_probabilities(at, value, message):
    orders = square(3)
    with pytest.raises(ValuestabError, match=rf"Item 1 .*{message}"):
        balanced_answers(impossible(orders, at, value), orders)


def test_shapes_must_agree():
    with pytest.raises(ValuestabError, match=r"logprobs have the shape \(2, 6\), orders \(2, 6, 6\)"):
        balanced_answers(np.zeros((2, 6)), square(2))
    with pytest.raises(ValuestabError, match="logprobs have the shape"):
        letter_bias(np.zeros((3, 6, 6)), square(2))


def test_no_items_give_no_answers():
    result = balanced_answers(np.zeros((0, 6, 6)), np.zeros((0, 6, 6), dtype=int))
    assert (result.answer.shape, result.expected.shape, result.ties) == ((0,), (0,), 0)


# --- letter bias


@pytest.mark.parametrize("size", [1.0, 0.25, 6.0, -2.0, 0.0])
def test_known_bias_is_recovered(size):
    orders = square(40)
    found = letter_bias(respond(LATENT, orders, size), orders)
    others = np.delete(found.per_letter, 2)
    np.testing.assert_allclose(found.per_letter[2] - others, size, atol=1e-11)
    np.testing.assert_allclose(found.per_letter.sum(), 0, atol=1e-11)
    # one letter of six differs by b: variance b^2 (1/6) (5/6)
    np.testing.assert_allclose(found.size, abs(size) * np.sqrt(5) / 6, atol=1e-11)


def test_option_size_is_that_of_the_options():
    orders = square(2)
    liking = np.array([0.0, 0, 0, 0, 0, 6.0])  # mean 1, variance 5
    found = letter_bias(liking[orders - 1] + np.array([0, 0, 6.0, 0, 0, 0]), orders)
    np.testing.assert_allclose([found.option_size, found.size, found.share], [np.sqrt(5), np.sqrt(5), 0.5])


def test_share_at_its_ends():
    orders = square(3)
    assert letter_bias(respond([2, 4, 5], orders), orders).share < 1e-12
    assert letter_bias(np.tile(np.log([0.1, 0.1, 0.5, 0.1, 0.1, 0.1]), (3, 6, 1)), orders).share > 1 - 1e-12
    assert np.isnan(letter_bias(np.full((3, 6, 6), np.log(1 / 6)), orders).share)


def test_letter_bias_of_one_letter_moves_with_its_name():
    orders = square(20)
    for letter in range(6):
        assert letter_bias(respond(LATENT[:20], orders, 1.0, letter), orders).per_letter.argmax() == letter


def test_letter_bias_needs_finite_numbers():
    orders, message = square(2), "finite log-probabilities, but item 1"
    with pytest.raises(ValuestabError, match=message):
        letter_bias(impossible(orders, (0, 0), -np.inf), orders)
    with pytest.raises(ValuestabError, match="no items"):
        letter_bias(np.zeros((0, 6, 6)), np.zeros((0, 6, 6), dtype=int))


# --- frames


def frame_of(logprobs, orders, **session):
    names = {"model": "m", "format": "base", "population": "p", "persona": "Sam", "topic": "joke", "seed": 1}
    n = orders.shape[2]
    return pd.DataFrame(
        names
        | session
        | {"instrument": "PVQ-40", "item": item + 1, "value": f"value {item}", "wording": "project"}
        | {"rotation": rotation, "option_order": orders[item, rotation]}
        | {f"logprob_{letter}": logprobs[item, rotation, i] for i, letter in enumerate("ABCDEF"[:n])}
        for item, rotation in np.ndindex(orders.shape[:2])
    )


def test_frame_is_the_arrays():
    parts, expected = [], []
    for i, persona in enumerate(["Sam", "Frodo", "Gollum"]):
        orders = square(5, seed=i)
        logprobs = normal_logprobs(orders, seed=i)
        parts.append(frame_of(logprobs, orders, persona=persona))
        expected.append(balanced_answers(logprobs, orders))
    whole = pd.concat(parts, ignore_index=True)
    result = balanced_frame(whole)
    assert result["persona"].tolist() == ["Sam"] * 5 + ["Frodo"] * 5 + ["Gollum"] * 5
    assert result["item"].tolist() == [1, 2, 3, 4, 5] * 3
    for name in ("answer", "expected", "single_answer", "tied"):
        np.testing.assert_array_equal(result[name], np.concatenate([getattr(one, name) for one in expected]))
    assert (result["value"] == [f"value {item - 1}" for item in result["item"]]).all()
    assert (result["wording"] == "project").all() and not {"family", "rotation"} & set(result)
    # rows in any order
    shuffled = balanced_frame(whole.sample(frac=1, random_state=1))
    names = ["persona", "item"]
    one, other = (frame.sort_values(names).reset_index(drop=True) for frame in (result, shuffled))
    pd.testing.assert_frame_equal(one, other)


def test_instruments_with_other_numbers_of_options():
    six, five = square(2), square(2, n=5)
    religion = frame_of(normal_logprobs(five), five).assign(instrument="religion")
    result = balanced_frame(pd.concat([religion, frame_of(normal_logprobs(six), six)], ignore_index=True))
    assert result["instrument"].tolist() == ["religion"] * 2 + ["PVQ-40"] * 2
    np.testing.assert_array_equal(result["answer"][:2], balanced_answers(normal_logprobs(five), five).answer)
    np.testing.assert_array_equal(result["answer"][2:], balanced_answers(normal_logprobs(six), six).answer)


def complete():
    orders = square(3)
    return frame_of(normal_logprobs(orders), orders)


def test_an_empty_column_is_carried():
    assert balanced_frame(complete().assign(family=np.nan))["family"].isna().all()


SAM = "Session m/base/p/Sam/joke/1, PVQ-40 item 2"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(index=8), rf"{SAM}: its rotations are \[0, 1, 3, 4, 5\], but must be 0 to 5"),
        (lambda f: pd.concat([f, f.iloc[[7]]]), r"item 2: its rotations are \[0, 1, 1, 2, 3, 4, 5\]"),
        (lambda f: f.assign(rotation=f["rotation"].mask(f.index == 8, 6)), r"\[0, 1, 3, 4, 5, 6\]"),
        (lambda f: f.assign(rotation=f["rotation"].mask(f.index == 8, 3)), r"\[0, 1, 3, 3, 4, 5\]"),
        (
            lambda f: f.assign(logprob_D=f["logprob_D"].mask(f.index == 8)),
            rf"{SAM}: a log-probability is NaN",
        ),
        (
            lambda f: f.assign(value=f["value"].mask(f.index == 8, "Power")),
            rf"{SAM}: .* differ in the column value",
        ),
        (lambda f: f.drop(columns="rotation"), "have no column rotation"),
        (lambda f: f.drop(columns="logprob_F"), r"lack a column \(logprob_F\)"),
        (lambda f: f.iloc[:0], "have no rows"),
    ],
)
def test_frame_refuses(spoil, message):
    with pytest.raises(ValuestabError, match=message):
        balanced_frame(spoil(complete()))


def test_frame_refuses_orders_that_are_not_balanced():
    frame = complete()
    frame.at[8, "option_order"] = frame.at[7, "option_order"]
    with pytest.raises(ValuestabError, match=rf"{SAM}: the option orders .* once at every letter"):
        balanced_frame(frame)
