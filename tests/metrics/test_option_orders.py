"""Option orders: balanced answers, a known letter bias, and stability without the noise of orders."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from valuestab_utils.errors import ValuestabError
from valuestab_utils.metrics import balanced_answers, balanced_frame, corrected_stability, letter_bias, rotated_orders
from valuestab_utils.metrics.option_orders import SMALLEST_RELIABILITY

LATENT = np.linspace(1, 5.875, 40)


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


def test_rotations_are_a_latin_square():
    assert rotated_orders((3, 1, 2, 4)) == ((3, 1, 2, 4), (1, 2, 4, 3), (2, 4, 3, 1), (4, 3, 1, 2))
    assert (np.sort(square(5), axis=1) == np.arange(1, 7)[:, None]).all()


@pytest.mark.parametrize(
    "wrong",
    [
        [[1, 2, 3], [2, 3, 1], [2, 3, 1]],  # an order twice
        [[1, 2, 3], [1, 3, 2], [2, 1, 3]],  # 1 stands twice at the first letter
        [[0, 1, 2], [1, 2, 0], [2, 0, 1]],  # codes from 0
    ],
)
def test_orders_that_are_no_latin_square_are_refused(wrong):
    orders = np.array([[[1, 2, 3], [2, 3, 1], [3, 1, 2]], wrong])
    with pytest.raises(ValuestabError, match="do not show each of the codes 1 to 3 once"):
        balanced_answers(np.zeros((2, 3, 3)), orders)


def test_by_hand():
    # Orders 2 1 and 1 2. Option 1: -3 (at B), -1 (at A): mean -2; option 2: -2, -4: mean -3.
    orders = np.array([[[2, 1], [1, 2]]])
    result = balanced_answers(np.array([[[-2.0, -3.0], [-1.0, -4.0]]]), orders)
    assert (result.answer.tolist(), result.single_answer.tolist(), result.tied.tolist()) == ([1], [2], [False])
    # 1 x 1 + 2 x e^-1 over 1 + e^-1
    np.testing.assert_allclose(result.expected, [(1 + 2 * np.exp(-1)) / (1 + np.exp(-1))], rtol=1e-15)


@pytest.mark.parametrize("bias", [0.0, 20.0, -4.0])
def test_letter_bias_changes_no_balanced_answer_and_is_recovered(bias):
    orders = square(len(LATENT))
    latent = LATENT + 0.03  # away from ties
    plain, biased = (balanced_answers(respond(latent, orders, b), orders) for b in (0.0, bias))
    right = np.rint(latent).clip(1, 6)
    np.testing.assert_array_equal(biased.answer, right)
    np.testing.assert_allclose(biased.expected, plain.expected, atol=1e-9)
    distribution = np.exp(respond(latent, orders)[:, 0])  # without bias one order is enough
    np.testing.assert_allclose(plain.expected, (distribution * orders[:, 0]).sum(1), atol=1e-9)
    assert (biased.single_answer == right).all() == (bias == 0)
    found = letter_bias(respond(LATENT, orders, bias), orders)
    np.testing.assert_allclose(found.per_letter[2] - np.delete(found.per_letter, 2), bias, atol=1e-11)
    np.testing.assert_allclose(found.per_letter.sum(), 0, atol=1e-11)
    # one letter of six differs by b: variance b^2 (1/6) (5/6)
    np.testing.assert_allclose(found.size, abs(bias) * np.sqrt(5) / 6, atol=1e-11)


def test_any_additive_preference_of_letters_and_constants_of_rotations_cancel():
    orders, rng = square(30), np.random.default_rng(1)
    logprobs = normal_logprobs(orders)
    preference = rng.normal(size=(30, 1, 6))  # another one for each item
    constant = rng.normal(size=(30, 6, 1)) * 10
    plain, moved = balanced_answers(logprobs, orders), balanced_answers(logprobs + preference + constant, orders)
    np.testing.assert_array_equal(plain.answer, moved.answer)
    np.testing.assert_allclose(plain.expected, moved.expected, atol=1e-12)


def test_a_respondent_of_letters_alone_has_no_answer():
    orders = square(4)
    only_c = np.tile(np.log([0.1, 0.1, 0.5, 0.1, 0.1, 0.1]), (4, 6, 1))
    result = balanced_answers(only_c, orders)
    assert result.tied.all() and result.answer.tolist() == [1, 1, 1, 1]  # the lowest code, by the rule
    np.testing.assert_allclose(result.expected, 3.5)
    np.testing.assert_array_equal(result.single_answer, orders[:, 0, 2])
    assert letter_bias(only_c, orders).share > 1 - 1e-12
    assert np.isnan(letter_bias(np.full((4, 6, 6), np.log(1 / 6)), orders).share)


def test_ties_go_to_the_lowest_code_and_are_counted():
    orders = square(2)
    liking = np.array([[-9.0, -1.0, -5.0, -1.0, -9.0, -9.0], [-9.0, -8.0, -7.0, -6.0, -5.0, -4.0]])
    logprobs = np.stack([own[order - 1] for own, order in zip(liking, orders)])
    result = balanced_answers(logprobs, orders)
    assert (result.answer.tolist(), result.tied.tolist()) == ([2, 6], [True, False])
    logprobs[0, 0] += 1e-12 * (orders[0, 0] == 4)  # rounding does not decide
    assert balanced_answers(logprobs, orders).answer[0] == 2
    # A probability of nil in one rotation excludes the option.
    logprobs[1, 3, orders[1, 3] == 6] = -np.inf
    assert balanced_answers(logprobs, orders).answer[1] == 5


@pytest.mark.parametrize(
    ("at", "value"), [((0, 0), np.nan), ((2,), -np.inf), ((slice(None), 5), -np.inf)]
)
def test_no_answer_without_probabilities(at, value):
    orders = square(3)
    logprobs = normal_logprobs(orders)
    logprobs[1][at] = value
    with pytest.raises(ValuestabError, match="In 1 of 3 items .* no letter or option"):
        balanced_answers(logprobs, orders)
    with pytest.raises(ValuestabError, match="finite log-probabilities"):
        letter_bias(logprobs, orders)


def frame_of(logprobs, orders, **session):
    names = {"model": "m", "format": "base", "population": "p", "persona": "Sam", "topic": "joke", "seed": 1}
    return pd.DataFrame(
        names
        | session
        | {"instrument": "PVQ-40", "item": item + 1, "value": f"value {item}", "wording": "project"}
        | {"rotation": rotation, "option_order": orders[item, rotation]}
        | {f"logprob_{letter}": logprobs[item, rotation, i] for i, letter in enumerate("ABCDEF"[: orders.shape[2]])}
        for item, rotation in np.ndindex(orders.shape[:2])
    )


def test_frame_is_the_arrays():
    parts, expected = [], []
    for i, persona in enumerate(("Sam", "Gollum")):
        orders = square(5, seed=i)
        logprobs = normal_logprobs(orders, seed=i)
        parts.append(frame_of(logprobs, orders, persona=persona))
        expected.append(balanced_answers(logprobs, orders))
    whole = pd.concat(parts, ignore_index=True)
    result, _ = balanced_frame(whole)
    assert result["persona"].tolist() == ["Sam"] * 5 + ["Gollum"] * 5
    assert result["item"].tolist() == [1, 2, 3, 4, 5] * 2
    for name in ("answer", "expected", "single_answer", "tied"):
        np.testing.assert_array_equal(result[name], np.concatenate([getattr(one, name) for one in expected]))
    assert (result["value"] == [f"value {item - 1}" for item in result["item"]]).all()
    shuffled, _ = balanced_frame(whole.sample(frac=1, random_state=1))
    names = ["instrument", "persona", "item"]
    one, other = (frame.sort_values(names).reset_index(drop=True) for frame in (result, shuffled))
    pd.testing.assert_frame_equal(one, other)


SAM = "m/base/p/Sam/joke/1/PVQ-40/2"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: f.drop(index=8), f"{SAM}: its rotations must be 0 to 5"),
        (lambda f: pd.concat([f, f.iloc[[7]]]), f"{SAM}: its rotations must be 0 to 5"),
        (lambda f: f.assign(logprob_D=f["logprob_D"].mask(f.index == 8)), "In 1 of 3 items a log-probability is NaN"),
        (lambda f: f.assign(option_order=[f["option_order"][i - (i == 8)] for i in f.index]), "once at every letter"),
    ],
)
def test_frame_refuses(spoil, message):
    orders = square(3)
    with pytest.raises(ValuestabError, match=message):
        balanced_frame(spoil(frame_of(normal_logprobs(orders), orders)))


BASE, NEAR = [1, 2, 3, 4], [1, 3, 2, 4]  # 0.8

both_measures = pytest.mark.parametrize("measure", ["rank_order", "ipsative"])


def simulated(profile=1.0, context=0.0, noise=1.0, contexts=4, personas=2000, values=10, seed=0):
    """Two draws of scores from known standard deviations: persona, conversation, and answer noise."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(personas, values))
    true = profile * own + context * rng.normal(size=(contexts, personas, values))
    return tuple(true + noise * rng.normal(size=true.shape) for _ in range(2))


def one_value(*draws, times=1):
    """Each draw's orders of personas, (contexts, personas), as scores of so many equal values."""
    return [np.repeat(np.array(draw)[:, :, None], times, axis=2) for draw in draws]


def test_correction_is_a_quotient_and_may_exceed_one():
    # Within 0.8 twice; between: equal orders, 1 both ways.
    result = corrected_stability(*one_value([BASE, NEAR], [NEAR, BASE], times=5))
    assert (result.stability, result.reliability, result.corrected) == pytest.approx((1.0, 0.8, 1.25))
    assert (result.reason, result.n_seeds, result.chance_sd) == ("", 1, pytest.approx(1 / math.sqrt(3 * 10)))


@both_measures
def test_stability_between_draws_against_loops_whichever_draw_is_first(rng, measure):
    first, second = rng.normal(size=(2, 4, 8, 5))
    axes = (2, 0, 1) if measure == "rank_order" else (1, 0, 2)  # what is averaged over, contexts, what is ordered
    one, other = first.transpose(axes), second.transpose(axes)
    both_ways = list(itertools.permutations(range(4), 2))
    rho = [spearmanr(one[k, a], other[k, b]).statistic for k in range(len(one)) for a, b in both_ways]
    assert corrected_stability(first, second, measure).stability == pytest.approx(np.mean(rho))
    assert corrected_stability(second, first, measure).stability == pytest.approx(np.mean(rho))


@both_measures
@pytest.mark.parametrize(("context", "noise"), [(0.0, 1.0), (0.5, 0.5), (1.0, 0.7), (1.5, 0.3)])
def test_noise_is_taken_out_and_what_contexts_do_remains(context, noise, measure):
    result = corrected_stability(*simulated(profile=1.0, context=context, noise=noise), measure)
    # Spearman's correlation of normal scores is up to 0.02 below Pearson's, on both sides of the quotient.
    assert result.corrected == pytest.approx(1 / (1 + context**2), abs=0.035)
    assert result.stability < result.corrected


def test_noise_is_hardly_ever_corrected_in_small_designs():
    # At 5 personas, 3 topics and 10 values, two standard deviations of chance are 0.18.
    small = [simulated(profile=0.0, contexts=3, personas=5, seed=seed) for seed in range(300)]
    results = [corrected_stability(*draws) for draws in small]
    assert results[0].chance_sd == pytest.approx(1 / math.sqrt(4 * 30))
    assert np.std([result.reliability for result in results]) == pytest.approx(results[0].chance_sd, rel=0.1)
    assert np.mean([not result.reason for result in results]) < 0.05
    assert any("standard deviations of chance" in result.reason for result in results)
    tiny_signal = corrected_stability(*simulated(profile=0.2))  # beyond chance, but no divisor
    assert 4 * tiny_signal.chance_sd < tiny_signal.reliability < SMALLEST_RELIABILITY
    assert math.isnan(tiny_signal.corrected) and "below 0.05" in tiny_signal.reason


def test_undefined_directions_are_left_out():
    # Context 2 is constant in draw 2: its retest and one direction are undefined, the other is 0.8.
    result = corrected_stability(*one_value([BASE, NEAR], [BASE, [7, 7, 7, 7]], times=5))
    assert (result.stability, result.reliability, result.corrected) == pytest.approx((0.8, 1.0, 0.8))


def test_seeds_give_the_quotient_of_means_a_weak_seed_counts_and_an_undefined_one_does_not():
    draws = simulated(personas=200), simulated(profile=0.0, personas=200), 2 * (np.zeros((4, 200, 10)),)
    good, weak, empty = (corrected_stability(*both) for both in draws)
    assert math.isnan(weak.corrected) and math.isnan(empty.corrected) and "no reliability" in empty.reason
    result = corrected_stability(*(np.stack(seeds) for seeds in zip(*draws)))
    assert result.n_seeds == 2
    assert result.stability == pytest.approx((good.stability + weak.stability) / 2)
    expected = (good.stability + weak.stability) / (good.reliability + weak.reliability)
    assert result.corrected == pytest.approx(expected)
    assert result.chance_sd == pytest.approx(good.chance_sd / math.sqrt(2))
