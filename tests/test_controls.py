"""The controls' stability is known beforehand, comes out of the pipeline, and does not where it is broken."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import CHESS, GALADRIEL, GANDALF, JOKE, NO_TALK, NOBODY, session

from valuestab_utils import questionnaire
from valuestab_utils.controls import PlainTemplate, RandomRespondent, SyntheticRespondent, SyntheticSettings
from valuestab_utils.conversations import simulate_conversations
from valuestab_utils.errors import ValuestabError
from valuestab_utils.instruments import VALUES, Item, load_pvq40
from valuestab_utils.populations import load_population
from valuestab_utils.questionnaire import ask_questionnaire
from valuestab_utils.respondents import Prompt
from valuestab_utils.scored_answers import score_answers
from valuestab_utils.sessions import Experiment
from valuestab_utils.stability import stability_report
from valuestab_utils.tasks import load_task
from valuestab_utils.topics import Topic, load_topics

PVQ = load_pvq40("project")
EXACT = SyntheticSettings(profile=1.2, context=0, answer=0, letter_bias=0)
CHARACTERS = load_population("fictional_characters", 15)
TOPICS = load_topics(["joke", "chess", "grammar"])


def run(
    respondent, place, personas=CHARACTERS, topics=TOPICS, format="tuned_sys", population="p", instrument=PVQ
):
    """Answers of a control after short conversations, through prompts, letters and store."""
    whole = Experiment(
        respondent.name, format, population, tuple(personas), tuple(topics), (1,), n_messages=1
    )
    simulate_conversations(whole, respondent, place)
    return ask_questionnaire(whole, respondent, instrument, place)


def stability(answers):
    report = stability_report(answers.rename(columns={"topic": "context"}))
    return {"rank_order": report["rank_order"], "ipsative": report["ipsative"]}


def deviations(found, expected):
    """How many standard deviations each measure lies from what is expected of it."""
    return {name: (found[name] - mean) / deviation for name, (mean, deviation) in expected.items()}


def profile_answers(respondent, answers):
    """The answers that the personas' profiles imply."""
    profiles = {text: respondent.profile(text) for text in answers["persona_description"].unique()}
    latent = [
        profiles[text][VALUES.index(v)] for text, v in zip(answers["persona_description"], answers["value"])
    ]
    return np.clip(np.round(latent), 1, 6)


# What is known beforehand comes out


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_without_noise_the_answers_are_the_personas_profiles(tmp_path, format):
    respondent = SyntheticRespondent(PVQ, EXACT)
    personas = [*CHARACTERS[:2], GALADRIEL]
    assert {persona.gender for persona in personas} == {"M", "F"}
    answers = run(respondent, tmp_path, personas, [*TOPICS[:2], NO_TALK], format)
    assert list(answers["answer"]) == list(profile_answers(respondent, answers))
    assert answers["answer"].nunique() == 6 and answers["letter"].nunique() == 6
    assert answers["letter_mass"].to_numpy() == pytest.approx(1)


@pytest.mark.parametrize(
    "settings",
    [SyntheticSettings(), SyntheticSettings(context=1.5), SyntheticSettings(0.6, 0.3, 1.5, 3.0)],
    ids=["default", "more context noise", "more answer noise and bias"],
)
def test_stability_through_the_pipeline_is_what_the_settings_imply(tmp_path, settings):
    respondent = SyntheticRespondent(PVQ, settings)
    answers = run(respondent, tmp_path)
    expected = respondent.expected_stability(CHARACTERS, n_contexts=3, n_seeds=1)
    assert set(expected) == {"rank_order", "ipsative"}
    assert all(0 < deviation < 0.1 for _, deviation in expected.values())
    # 3.5 deviations are exceeded by chance once in 2000; the noise is seeded, so that it is once and for all.
    assert max(map(abs, deviations(stability(answers), expected).values())) < 3.5


def test_expected_stability_falls_with_each_noise_and_rises_with_the_spread_of_profiles():
    def expected(**changes):
        respondent = SyntheticRespondent(PVQ, replace(SyntheticSettings(), **changes))
        found = respondent.expected_stability(CHARACTERS, n_contexts=2, n_seeds=1, draws=20)
        return np.array([found["rank_order"][0], found["ipsative"][0]])

    assert (expected(context=1.5) < expected() - 0.2).all()
    assert (expected(answer=2.5) < expected() - 0.1).all()
    assert (expected(letter_bias=12.0) < expected() - 0.1).all()
    assert (expected(profile=0.3) < expected() - 0.2).all()
    assert (expected(context=0, answer=0, letter_bias=0) == 1).all()


def test_seeds_narrow_what_is_expected():
    respondent = SyntheticRespondent(PVQ)
    one, four = (respondent.expected_stability(CHARACTERS, 2, n, draws=60)["rank_order"] for n in (1, 4))
    assert one[0] == pytest.approx(four[0], abs=0.02) and 1.3 < one[1] / four[1] < 3


def test_without_persona_there_is_ipsative_stability_alone_and_it_comes_out(tmp_path):
    nobodies = load_population("none", 10)
    respondent = SyntheticRespondent(PVQ)
    answers = run(respondent, tmp_path, nobodies, population="none")
    expected = respondent.expected_stability(nobodies, n_contexts=3, n_seeds=1)
    assert set(expected) == {"ipsative"}
    assert abs(deviations(stability(answers), expected)["ipsative"]) < 3.5
    assert set(respondent.expected_stability(CHARACTERS[:2], 2, 1, draws=2)) == {"ipsative"}


def test_letter_bias_shows_in_the_letters(tmp_path):
    shares = []
    for bias in (0.0, 1.0, 4.0):
        respondent = SyntheticRespondent(PVQ, SyntheticSettings(letter_bias=bias))
        letters = run(respondent, tmp_path / str(bias), CHARACTERS[:6], TOPICS[:2])["letter"]
        shares.append((letters == "C").mean())
        others = letters[letters != "C"].value_counts()
        assert others.max() < 1.6 * others.min()
    assert abs(shares[0] - 1 / 6) < 5 * np.sqrt(5 / 36 / 480)
    assert shares[0] + 0.04 < shares[1] and shares[1] + 0.1 < shares[2]


def test_random_answers_have_no_stability_and_no_favourite(tmp_path):
    answers = run(RandomRespondent(), tmp_path)
    # By chance, a correlation of n ranks deviates from 0 by 1/sqrt(n - 1). Rank-order: n = 15, mean over 3
    # pairs of contexts and 10 values; ipsative: n = 10, mean over 3 pairs and 15 personas. Both have SD 0.05.
    found = stability(answers)
    assert abs(found["rank_order"]) < 4 / np.sqrt(14 * 30)
    assert abs(found["ipsative"]) < 4 / np.sqrt(9 * 45)
    n = len(answers)
    for column in ("letter", "answer"):
        assert (abs(answers[column].value_counts() - n / 6) < 5 * np.sqrt(n * 5 / 36)).all()
        assert answers[column].nunique() == 6
    assert answers["letter_mass"].to_numpy() == pytest.approx(1)


def test_random_answers_are_drawn_anew_for_each_text_and_only_then():
    respondent = RandomRespondent()
    prompts = [Prompt(session(), text) for text in ("one", "other", "one")]
    first, second, third = respondent.answer(prompts, "ABCDEF").logprobs
    assert (first == third).all() and (first != second).all()


# A broken pipeline is found


def breaks_options(monkeypatch):
    question = questionnaire.question
    monkeypatch.setattr(questionnaire, "question", lambda a, b, options: question(a, b, options[::-1]))


def breaks_personas(monkeypatch):
    """In each topic, another neighbour is asked in a persona's place."""
    prompt = questionnaire.tested_prompt

    def of_neighbour(format, template, persona, conversation, item):
        shift = {topic.first_message: n for n, topic in enumerate(TOPICS)}[conversation[0]]
        neighbour = CHARACTERS[(CHARACTERS.index(persona) + shift) % len(CHARACTERS)]
        return prompt(format, template, neighbour, conversation, item)

    monkeypatch.setattr(questionnaire, "tested_prompt", of_neighbour)


def breaks_items(monkeypatch):
    """Items show the portrait of another item."""
    portrait = Item.portrait
    monkeypatch.setattr(
        Item, "portrait", lambda item, gender: portrait(PVQ.items[item.item * 7 % 40], gender)
    )


def breaks_decoding(monkeypatch):
    """Answers are counted as positions instead of codes."""

    order = questionnaire.Session.option_order
    asked = set()

    def first_right_then_unshuffled(self, item, n, *others):
        known = (self.key, item) in asked
        asked.add((self.key, item))
        return tuple(range(1, n + 1)) if known else order(self, item, n, *others)

    monkeypatch.setattr(questionnaire.Session, "option_order", first_right_then_unshuffled)


def breaks_nothing(monkeypatch):
    pass


@pytest.mark.parametrize(
    "breaks, moves_stability",
    [
        (breaks_options, True),
        (breaks_personas, True),
        (breaks_decoding, True),
        (breaks_items, False),
        (breaks_nothing, False),
    ],
)
def test_a_broken_pipeline_shows_in_answers_and_stability(tmp_path, monkeypatch, breaks, moves_stability):
    breaks(monkeypatch)
    exact = SyntheticRespondent(PVQ, EXACT)
    answers = run(exact, tmp_path, CHARACTERS[:10], TOPICS[:2])
    wrong = (answers["answer"].to_numpy() != profile_answers(exact, answers)).mean()
    if breaks is breaks_nothing:
        assert wrong == 0 and stability(answers)["rank_order"] == 1
        return
    assert wrong > 0.3
    if moves_stability:
        assert stability(answers)["rank_order"] < 0.5


def test_conversations_that_are_mixed_up_show_in_stability(tmp_path, monkeypatch):
    """If each item followed another conversation, the contexts' shifts would average out."""
    prompt = questionnaire.tested_prompt

    def after_anything(format, template, persona, conversation, item):
        return prompt(format, template, persona, [*conversation[:-1], item], item)

    monkeypatch.setattr(questionnaire, "tested_prompt", after_anything)
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(context=1.5))
    expected = respondent.expected_stability(CHARACTERS, n_contexts=2, n_seeds=1)
    answers = run(respondent, tmp_path, topics=TOPICS[:2])
    assert min(deviations(stability(answers), expected).values()) > 3  # both measures, far from chance


def prompt_of_item(persona=GANDALF, topic=JOKE, format="tuned_sys", said=("Tell me a joke.", "No.")):
    """The prompt of item 1 as the pipeline writes it."""
    asked = questionnaire.item_prompts(
        session(persona, topic, format=format), RandomRespondent(), PVQ, list(said)
    )
    return asked[0].text


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda text: text.replace(PVQ.items[0].male, "He likes tea."),
            "does not know the item 'He likes tea.'",
        ),
        (lambda text: text.replace(PVQ.items[0].male, ""), "does not know the item"),
        (lambda text: text.replace("\n(B)", "\n(C)", 1), "asked for ABCDEF, but shown"),
        (lambda text: text.replace("\n(F)", "\n F", 1), "asked for ABCDEF, but shown"),
        (lambda text: text.replace(PVQ.instruction, ""), "does not know the item"),
    ],
)
def test_a_garbled_item_is_refused_and_not_guessed(spoil, message):
    respondent = SyntheticRespondent(PVQ)
    respondent.answer([Prompt(session(), prompt_of_item())], "ABCDEF")
    with pytest.raises(ValuestabError, match=message):
        respondent.answer([Prompt(session(), spoil(prompt_of_item()))], "ABCDEF")


# What the controls know


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_a_persona_is_known_by_its_induction_alone(format):
    respondent = SyntheticRespondent(PVQ, EXACT)

    def answer(persona, said):
        prompt = Prompt(session(), prompt_of_item(persona, format=format, said=said))
        return respondent.answer([prompt], "ABCDEF").logprobs

    told = (
        "You are in a lift.",
        "You are late.",
        "You are Sam, CONTEXT: The following is a conversation",
        "OK",
    )
    for persona in (GANDALF, NOBODY, replace(GANDALF, description="Gandalf, a wizard.\nHe has a staff.")):
        order = np.array(session(persona).option_order(1, 6))
        latent = respondent.profile(persona.description)[VALUES.index(PVQ.items[0].value)]
        for said in (told, told[:2], (), ("1. e4", "e5")):
            assert answer(persona, said).argmax() == np.argmin(abs(order - latent))


def test_context_noise_belongs_to_conversation_and_value():
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(answer=0, letter_bias=0))
    first = next(item for item in PVQ.items if item.value == "Power")
    second = next(item for item in PVQ.items[first.item :] if item.value == "Power")

    def asked(said, item):
        prompts = questionnaire.item_prompts(session(), respondent, PVQ, said)
        scores = respondent.answer([prompts[item.item - 1]], "ABCDEF").logprobs[0]
        return dict(zip(session().option_order(item.item, 6), scores.round(9)))  # by code

    assert asked(["Hi.", "A."], first) == asked(["Hi.", "A."], second) != asked(["Hi.", "B."], first)


def test_extreme_profiles_have_finite_probabilities():
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(profile=500))
    prompts = [Prompt(session(), prompt_of_item(persona)) for persona in CHARACTERS if persona.gender == "M"]
    logprobs = respondent.answer(prompts, "ABCDEF").logprobs
    assert np.isfinite(logprobs).all() and np.exp(logprobs).sum(1) == pytest.approx(1)


def test_what_is_said_depends_on_the_sessions_noise_alone():
    respondent = RandomRespondent()
    sessions = [session(seed=seed) for seed in range(20)]
    said = [t.content for t in respondent.speak([Prompt(s, "x", s.noise(1)) for s in sessions], 100)]
    again = [respondent.speak([Prompt(s, "y", s.noise(1))], 100)[0].content for s in sessions]
    assert said == again and len(set(said)) == 20
    assert all(4 <= len(text.split()) < 12 for text in said)


def test_other_settings_of_the_synthetic_respondent_are_refused_in_its_folder(tmp_path):
    run(SyntheticRespondent(PVQ), tmp_path, CHARACTERS[:1], [Topic("joke", "Tell me a joke.")])
    with pytest.raises(ValuestabError, match="synthetic is .*'context': 0.5.* there and .*'context': 0"):
        run(SyntheticRespondent(PVQ, EXACT), tmp_path, CHARACTERS[:1], [CHESS])


def test_the_plain_template_writes_roles_as_they_are():
    messages = [{"role": "system", "content": "You are Sam."}, {"role": "user", "content": "Hi."}]
    assert PlainTemplate().render(messages) == "<system> You are Sam.\n<user> Hi.\n<assistant>"
    assert PlainTemplate().render(messages, "Answer: (").endswith("\n<assistant> Answer: (")


# Downstream tasks

TASKS = [load_task(task) for task in ("donation", "stealing", "religion")]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_what_it_does_in_a_task_has_the_stability_that_its_settings_imply(tmp_path, task):
    respondent = SyntheticRespondent(PVQ, tasks=TASKS)
    whole = Experiment(respondent.name, "tuned_sys", "p", CHARACTERS, TOPICS, (1,), 1)
    simulate_conversations(whole, respondent, tmp_path)
    some = replace(task, items=task.items[::5] if len(task.items) > 5 else task.items)
    answers = ask_questionnaire(whole, respondent, some, tmp_path)
    found = np.mean([s.overall for s in score_answers(answers.assign(instrument=task.name)).rank_order()])
    expected = respondent.expected_stability(CHARACTERS, len(TOPICS), 1, asked=some)
    assert set(expected) == ({"rank_order"} if task.name == "Religion" else {"rank_order", "ipsative"})
    assert abs(found - expected["rank_order"][0]) < 4 * expected["rank_order"][1] and found > 0.3


def test_what_it_gives_follows_from_its_values():
    respondent = SyntheticRespondent(PVQ, tasks=TASKS)
    people = load_population("fictional_characters")
    values = np.array([respondent.profile(p.description) for p in people])
    coins = np.array([respondent.scales(p.description, TASKS[0]).mean() for p in people])
    for value, sign in (("Universalism", 1), ("Benevolence", 1), ("Power", -1), ("Achievement", -1)):
        assert sign * np.corrcoef(values[:, VALUES.index(value)], coins)[0, 1] > 0.2
    assert abs(np.corrcoef(values[:, VALUES.index("Hedonism")], coins)[0, 1]) < 0.35


@pytest.mark.parametrize("format", ["base", "tuned_sys", "tuned_no_sys"])
def test_a_task_is_recognised_in_every_format_and_the_persona_with_it(format):
    respondent = SyntheticRespondent(PVQ, SyntheticSettings(context=0, answer=0, letter_bias=0), TASKS)
    for said in ([], ["1. e4", "e5"]):
        s = session(format=format, topic=JOKE)
        for task in TASKS:
            item = task.items[-1]
            prompts = questionnaire.item_prompts(s, respondent, replace(task, items=(item,)), said)
            letters = "ABCDEF"[: len(task.options)]
            chosen = respondent.answer(prompts, letters).logprobs[0].argmax()
            order = questionnaire.option_orders(s, task, item)[0]
            latent = respondent.scales(GANDALF.description, task)[task.scales.index(item.value)]
            assert order[chosen] == np.clip(np.rint(latent), 1, len(letters))
