"""A study cut into shards that share no session, so that each can be computed by a machine of its own.

A session is in one shard with all that is asked of it, so that its conversation is simulated once. What a session
says and answers depends on its identity alone: shards together make the files that one run makes.
"""

import hashlib
import json
from dataclasses import replace

from valuestab_utils import administration
from valuestab_utils.conversations import conversation_folder
from valuestab_utils.errors import ValuestabError
from valuestab_utils.measurements import Measurement
from valuestab_utils.sessions import Session
from valuestab_utils.study import Study

_TOPIC = 4  # its place in an identity


def shard_of_sessions(study: Study, count: int) -> dict[tuple, int]:
    """Number of the shard that each session of a study belongs to.

    Sessions that are asked the same are put in the order of a hash of their identity and dealt out in turn. Shards
    therefore differ by one session at most, in all and of each topic that is asked the same; the hash only sees to
    it that no persona or seed gathers in one of them. (The hash alone, modulo ``count``, would make some shards of
    few sessions twice as long as others.)

    Parameters
    ----------
    study : Study
    count : int
        Number of shards, 1 or more.

    Returns
    -------
    dict of tuple to int
        From the values of `valuestab_utils.sessions.Session.identity` to 0 ... ``count`` - 1. It depends on the
        study's sessions and what they are asked, and on nothing else.

    Raises
    ------
    ValuestabError
        If ``count`` is no whole number of 1 or more.
    """
    if type(count) is not int or count < 1:
        raise ValuestabError(f"The number of shards is {count!r}, but must be a whole number, 1 or more.")
    asked: dict[tuple, list[tuple]] = {}
    for m in _asked(study):
        for session in m.experiment.sessions:
            asked.setdefault(_identity(session), []).append(m.place)
    in_order = sorted(asked, key=lambda identity: (sorted(asked[identity]), identity[_TOPIC], _digest(identity)))
    return {identity: number % count for number, identity in enumerate(in_order)}


def cut_to_shard(study: Study, index: int, count: int) -> Study:
    """The study cut down to the sessions of shard ``index`` of ``count``; it has no measurements if they are none.

    Raises
    ------
    ValuestabError
        If ``index`` is not one of 0 ... ``count`` - 1.
    """
    where = shard_of_sessions(study, count)
    if type(index) is not int or not 0 <= index < count:
        raise ValuestabError(f"Shard {index!r} does not exist: {count} shards have the numbers 0 to {count - 1}.")
    cut = []
    for m in _asked(study):
        keys = frozenset(s.key for s in m.experiment.sessions if where[_identity(s)] == index)
        if keys:
            cut.append(replace(m, experiment=replace(m.experiment, keys=keys)))
    return replace(study, measurements=tuple(cut), compare=())


def run_shard(study: Study, index: int, count: int) -> int:
    """Simulate the conversations of one shard's sessions and ask what they are asked; what is stored is kept.

    Parameters
    ----------
    study : Study
        The whole one.
    index, count : int
        The shard, and how many there are.

    Returns
    -------
    int
        Sessions of the shard.

    Raises
    ------
    ValuestabError
        As a run of the whole study; also if a folder's settings were replaced by another run's meanwhile.
    """
    shard = cut_to_shard(study, index, count)
    if not shard.measurements:
        return 0
    shard.conversations()
    for part, orders in dict.fromkeys((m.part, m.orders) for m in shard.measurements):
        shard.answers(part, orders)
    _check_settings_again(shard)
    return len({_identity(session) for m in shard.measurements for session in m.experiment.sessions})


def unfinished_shards(study: Study, count: int) -> list[int]:
    """Numbers of the shards in which a session lacks answers, by the files that are there."""
    where = shard_of_sessions(study, count)
    lacking: set[int] = set()
    for m in _asked(study):
        folder = administration.folder(m, study.results_dir)
        lacking |= {where[_identity(session)] for session in folder.missing(m.experiment.sessions)}
    return sorted(lacking)


def _asked(study: Study) -> tuple[Measurement, ...]:
    """The study's measurements, with the first orders that a retest compares the second ones with."""
    first = (replace(m, orders="single") for m in study.measurements if m.orders == "second")
    return (*study.measurements, *first)


def _check_settings_again(shard: Study) -> None:
    # Two machines that begin a folder at the same moment may each believe to be the first where the file system
    # shows new files late or has no locks. The one whose settings did not stay must not pass.
    for m in shard.measurements:
        respondent = shard.respondent(m.experiment)
        conversation_folder(m.experiment, shard.results_dir, respondent)
        administration.folder(m, shard.results_dir, respondent)


def _identity(session: Session) -> tuple:
    return tuple(session.identity.values())


def _digest(identity: tuple) -> str:
    return hashlib.sha256(json.dumps(identity, ensure_ascii=False).encode()).hexdigest()
