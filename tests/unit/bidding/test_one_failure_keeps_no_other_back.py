import pytest

from services.bidding.concerns import Concerns, Pauses, for_each


async def halve(number: int) -> int:
    if number % 2:
        raise ValueError(number)
    return number // 2


async def test_one_that_fails_is_alarmed_once_and_the_next_ones_follow() -> None:
    concerns, alarms = Concerns(), list[tuple[int, str]]()

    def alarm(number: int, error: str) -> None:
        alarms.append((number, error))

    for _ in range(2):
        assert await for_each([2, 3, 4], halve, concerns, alarm) == {2: 1, 4: 2}
        assert alarms == [(3, "ValueError")]
    concerns.keep_only([2, 4])
    await for_each([3], halve, concerns, alarm)
    assert alarms == [(3, "ValueError")] * 2


async def test_while_the_database_is_away_nothing_more_is_tried() -> None:
    tried = []

    async def lose_the_database(number: int) -> None:
        tried.append(number)
        raise OSError("away")

    with pytest.raises(OSError, match="away"):
        await for_each([1, 2], lose_the_database, Concerns(), lambda _number, error: pytest.fail(error))
    assert tried == [1]


def test_what_fails_again_and_again_rests_longer_each_time_up_to_a_limit() -> None:
    now, rests = 0.0, []
    pauses = Pauses(first=1, longest=5, clock=lambda: now)
    for _ in range(5):
        pauses.begin("fails")
        began = now
        while not pauses.are_over("fails"):
            now += 0.5
        rests.append(now - began)
    assert rests == [1, 2, 4, 5, 5]

    pauses.begin("fails")
    assert pauses.are_over("another")
    pauses.keep_only(["another"])
    assert pauses.are_over("fails")
    pauses.begin("fails")
    now += 1
    assert pauses.are_over("fails")
