"""Which passwords a person may choose, and what an initial one looks like.

Length counts, not composition; what is common or expected is refused (NIST SP 800-63B-4, 3.1.1.2, single factor: at least
15 characters).
"""

import re

from zxcvbn import zxcvbn

from shared.outcomes import Refusal

SHORTEST, LONGEST = 15, 128
_FEWEST_DIFFERENT = 6
_FEWEST_GUESSES_LOG10 = 10
"""zxcvbn's best score begins here: common words, names, dates, repetitions and rows of keys do not get so far."""
_WEIGHED = 72
"""So many characters are weighed: zxcvbn's time grows with the square, and what follows makes nothing easier to guess."""
_INITIAL = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def as_initial(password: str) -> str | None:
    """Return an initial password as it was assigned, or None if this cannot be one.

    Crockford's base32: read from paper, o is 0, i and l are 1, and neither case nor spaces and hyphens count.
    """
    read = re.sub(r"[\s-]", "", password).upper().translate(str.maketrans("OIL", "011"))
    return read if _INITIAL.fullmatch(read) else None


def may_choose(password: str, email: str) -> Refusal | None:
    """Say why a password may not be chosen, or None."""
    if not SHORTEST <= len(password) <= LONGEST:
        return Refusal("password_length", f"A password has {SHORTEST} to {LONGEST} characters.")
    if len(set(password.lower())) < _FEWEST_DIFFERENT:
        return Refusal(
            "password_monotonous", f"A password has at least {_FEWEST_DIFFERENT} different characters."
        )
    if email.partition("@")[0].lower() in password.lower():
        return Refusal("password_names_you", "A password does not contain your mail address's name.")
    if as_initial(password):
        return Refusal("password_like_initial", "Choose a password that does not look like an initial one.")
    about_them = [*re.split(r"[@.]", email), "linepool"]
    if zxcvbn(password[:_WEIGHED], user_inputs=about_them)["guesses_log10"] < _FEWEST_GUESSES_LOG10:
        return Refusal(
            "password_common",
            "This password is soon guessed: it is a common one, or made of repetitions, names, dates or rows of keys. "
            "A few words that do not belong together are better.",
        )
    return None
