"""All that must always hold, judged on one history."""

from linepool.checker.awards import check_awards
from linepool.checker.disclosure import check_disclosure
from linepool.checker.groups import check_groups
from linepool.checker.history import SERVICES, History
from linepool.checker.money import check_money
from linepool.checker.once import check_once
from linepool.checker.replies import check_harm, check_replies
from linepool.checker.report import Report, Verdict, found
from linepool.checker.seals import check_seals
from linepool.checker.secrets import check_secrets
from linepool.checker.versions import check_log, check_versions


def check(history: History) -> Report:
    """Judge a history. Run it again at rest: while messages are under way, what is missing is not held against it."""
    return Report(
        (
            check_disclosure(history),
            check_replies(history),
            check_once(history),
            check_awards(history),
            check_seals(history),
            check_secrets(history),
            check_versions(history),
            check_log(history),
            check_rest(history),
            check_harm(history),
            check_groups(history),
            check_money(history),
        )
    )


def check_rest(history: History) -> Verdict:
    """I9: judge that nothing is left to send, to retry or to read."""
    looked_at = sum(len(history.rows(schema, "positions")) for schema in SERVICES)
    return found("I9", history.unsent, looked_at)
