"""A broker that is away for an hour fills no disk with the news."""

import logging
from logging import LogRecord

import pytest

from shared import logs
from shared.logs import SayOnce


def said(text: str, *args: object, by: str = "aiokafka.client") -> LogRecord:
    return LogRecord(by, logging.ERROR, "client.py", 1, text, args, None)


def test_a_library_says_the_same_once_until_a_pause_is_over_and_then_how_often_it_was_not_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(logs, "monotonic", lambda: clock[0])
    seldom = SayOnce("aiokafka", pause_s=30)
    assert [seldom.filter(said("no connection to %s", node)) for node in (1, 1, 2, 1)] == [
        True,
        False,
        True,
        False,
    ]
    clock[0] += 30
    again = said("no connection to %s", 1)
    assert seldom.filter(again)
    assert again.getMessage() == "no connection to 1 (and 2 more like it)"
    assert not seldom.filter(said("no connection to %s", 1))


def test_others_are_always_let_through() -> None:
    seldom = SayOnce("aiokafka")
    assert all(seldom.filter(said("handled", by="shared.delivery")) for _ in range(3))


def test_sentences_that_are_never_the_same_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(logs, "monotonic", lambda: clock[0])
    seldom = SayOnce("aiokafka", pause_s=1)
    for number in range(3 * logs.SENTENCES):
        clock[0] += 0.01
        assert seldom.filter(said("correlation %s", number))
    assert len(seldom._said) <= logs.SENTENCES
