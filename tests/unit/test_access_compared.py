"""What differs between a broker and deploy/access/, decided without a broker."""

from dataclasses import replace

import pytest

from deploy.access.broker import Broker
from deploy.access.difference import compare, kept_on, wanted_of_principals
from deploy.access.found import Found, FoundTopic, held
from deploy.access.login import Login

WANTED = wanted_of_principals("")


def a_broker(replicas: int, **settings: str) -> Found:
    """Return a broker that is as it should be, with topics on so many brokers and these settings besides."""
    topics = {
        topic.name: FoundTopic(topic.partitions, replicas, topic.config() | settings)
        for topic in WANTED.topics
    }
    rules = frozenset(map(held, WANTED.rules))
    return Found("", topics, WANTED.users, rules, frozenset(), {})


def test_on_how_many_brokers_a_topic_is_kept_is_the_administrators_unless_it_is_asked_for() -> None:
    for found in (a_broker(1), a_broker(3), a_broker(3, **{"min.insync.replicas": "2"})):
        assert not compare(found, WANTED)
    assert compare(a_broker(3, **{"retention.bytes": "1"}), WANTED).settings


def test_what_is_asked_for_is_put_right_where_that_moves_nothing_and_told_where_it_does() -> None:
    wanted = kept_on(3, WANTED)
    assert not compare(a_broker(3, **{"min.insync.replicas": "2"}), wanted)
    assert not compare(a_broker(4, **{"min.insync.replicas": "2"}), wanted)
    lowered = compare(a_broker(3, **{"min.insync.replicas": "1"}), wanted)
    assert "setting of rfp.events: min.insync.replicas must be 2" in lowered.repairs()
    fewer = compare(a_broker(1, **{"min.insync.replicas": "2"}), wanted)
    assert fewer.repairs() == []
    assert (
        "topic rfp.events is on 1 brokers instead of 3; kafka-reassign-partitions.sh moves it"
        in fewer.left_alone()
    )


def test_one_broker_is_enough_for_what_is_kept_on_one() -> None:
    topics = kept_on(1, WANTED).topics
    assert {topic.config()["min.insync.replicas"] for topic in topics} == {"1"}


@pytest.mark.parametrize("replicas", [0, -1])
def test_no_broker_at_all_is_refused(replicas: int) -> None:
    broker = Broker("kafka:9093", Login("admin", "hush"))
    with pytest.raises(ValueError, match="one broker or more"):
        replace(broker, replicas=replicas)
