from collections import Counter

from valuestab_utils.prompts.values import ACRONYMS, BASIC_VALUE_OF, REFINED_VALUES, VALUES


def test_basic_values_of_the_refined_ones():
    assert tuple(BASIC_VALUE_OF) == REFINED_VALUES and len({ACRONYMS[value] for value in REFINED_VALUES}) == 19
    assert Counter(BASIC_VALUE_OF.values()) == {
        "Self-Direction": 2, "Stimulation": 1, "Hedonism": 1, "Achievement": 1, "Power": 2, None: 1, "Security": 2,
        "Tradition": 2, "Conformity": 2, "Benevolence": 2, "Universalism": 3,
    }  # fmt: skip
    assert set(BASIC_VALUE_OF.values()) - {None} == set(VALUES)
