"""What to do next, by the portal's fixed words."""

NEXT = {
    "not_signed_in": "Sign in: linepool login --portal https://...",
    "sign_in_failed": "Try again, or ask for a new initial password: linepool login --forgotten",
    "new_password_needed": "Sign in again with --new-password, or in a terminal, where you are asked for it.",
    "code_needed": "Sign in again with --code and the six digits that your authenticator shows.",
    "too_many_attempts": "Wait a quarter of an hour.",
    "portal_unreachable": "Check the address after --portal, and your network.",
    "initial_password_unspent": "Sign in with the password that was mailed for this group: linepool login",
    "role_not_allowed": "Ask the coordinator of the group.",
    "purchase_unknown": "See your purchases: linepool group list",
    "invitation_unknown": "Ask the coordinator: linepool group renew INVITATION sends a new link.",
    "code_wrong": "Ask for a new one: linepool contact resend",
    "too_soon": "Wait a minute.",
    "usage_missing": "See who has reported no usage: linepool group show",
    "parts_missing": "Import the usage again: linepool usage import",
    "no_buyers": "Invite buyers: linepool group invite, or linepool group import",
    "letters_missing": "See whose letter is missing: linepool group show",
    "too_early": "Hand it in once the deadline has passed: linepool request show",
    "wrong_key": "Ask the custodian whether purchase and deadline are those that the request has: linepool request show",
    "below_minimum": "See how far the group is: linepool group show",
    "not_yet": "Follow what happens: linepool group show --watch",
}


def next_step(reason: str) -> str | None:
    """Return what whoever reads this can do about a refusal, or None."""
    return NEXT.get(reason)
