"""What was paid for is kept once and for all, and a budget holds."""

import threading

import pytest

from valuestab_utils.api_journal import Budget, Journal
from valuestab_utils.api_settings import Settings
from valuestab_utils.errors import ValuestabError


def settings(max_tokens=float("inf"), max_usd=float("inf"), prices=(None, None)):
    return Settings(None, 1, 1, 1.0, max_tokens, max_usd, *prices)


def test_a_journal_that_was_cut_is_read_up_to_there(tmp_path):
    path = tmp_path / "_paid" / "m.jsonl"
    journal = Journal(path)
    journal.add("one", {"text": "x"}, 5, 1)
    with path.open("a") as file:
        file.write('{"key": "two", "ke')
    for other in (Journal(path), journal):
        assert other.find("one") == {"text": "x"} and other.find("two") is None and other.spent == (5, 1)
    journal.add("three", {"text": "Éowyn"}, 1, 1)
    assert Journal(path).find("three") == journal.find("three") == {"text": "Éowyn"}
    assert Journal(path).spent == journal.spent == (6, 2)


def test_what_was_paid_for_in_vain_counts_and_is_not_an_answer(tmp_path):
    journal = Journal(tmp_path / "m.jsonl")
    journal.add("one", None, 7, 2)
    assert journal.find("one") is None and Journal(journal.path).spent == (7, 2)


def test_several_see_what_the_others_add(tmp_path):
    first, second = Journal(tmp_path / "m.jsonl"), Journal(tmp_path / "m.jsonl")
    journals = [first, second] * 4
    threads = [
        threading.Thread(target=lambda i=i, j=j: [j.add(f"{i}-{n}", {"n": n}, 1, 2) for n in range(20)])
        for i, j in enumerate(journals)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert first.spent == second.spent == Journal(first.path).spent == (160, 320)
    assert all(first.find(f"{i}-{n}") == {"n": n} for i in range(8) for n in range(20))


def test_a_disk_without_room_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValuestabError, match="could not be written to .*the same command goes on"):
        Journal(tmp_path / "file" / "m.jsonl").add("one", {}, 1, 1)


def test_a_request_waits_for_those_on_their_way_and_begins_if_they_leave_room(tmp_path):
    budget, journal, begun = Budget("m", settings(max_tokens=100)), Journal(None), threading.Event()

    def first():
        with budget.reserved(journal, (50, 10), lambda: False):
            begun.set()
            second.join(0.05)
            assert second.is_alive()
            journal.add("one", {}, 20, 5)

    def then():
        begun.wait()
        with budget.reserved(journal, (50, 10), lambda: False):
            journal.add("two", {}, 20, 5)

    second = threading.Thread(target=then)
    threads = [threading.Thread(target=first), second]
    for thread in threads[::-1]:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.spent == (40, 10)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (settings(max_tokens=99), "40 tokens in and 10 out in this .* up to 50 more, with VALUESTAB_MAX_TOKENS=99\\."),
        (settings(max_usd=0.059, prices=(500.0, 1000.0)), "10 out, 0.03 USD .* with VALUESTAB_MAX_USD=0.059\\."),
    ],
)
def test_a_request_that_could_exceed_the_budget_is_not_begun(limits, told):
    journal = Journal(None)
    journal.add("one", {}, 40, 10)
    with pytest.raises(ValuestabError, match=told), Budget("m", limits).reserved(journal, (40, 10), lambda: False):
        raise AssertionError
    larger = settings(limits.max_tokens + 1, limits.max_usd + 0.001, (limits.usd_in, limits.usd_out))
    with Budget("m", larger).reserved(journal, (40, 10), lambda: False):
        pass
