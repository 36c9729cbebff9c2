"""Whether an organisation's identifier can exist at all: the form and the check digits of its register, and nothing more.

A number that passes is no proof of anything: numbers are public, and anybody can write down another's. So this is never a level
of identity. It keeps out what was mistyped before an officer's time is spent on it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Literal

from stdnum import lei
from stdnum.at import businessid as at_firmenbuch
from stdnum.au import abn, acn
from stdnum.br import cnpj
from stdnum.ch import uid as ch_uid
from stdnum.ch import vat as ch_vat
from stdnum.cz import dic
from stdnum.dk import cvr
from stdnum.ee import registrikood
from stdnum.eu import vat as eu_vat
from stdnum.fi import ytunnus
from stdnum.fr import siren, siret
from stdnum.gb import vat as gb_vat
from stdnum.no import mva
from stdnum.no import orgnr as no_orgnr
from stdnum.pl import nip, regon
from stdnum.se import orgnr as se_orgnr
from stdnum.ua import edrpou
from stdnum.us import ein
from stdnum.util import get_cc_module

from shared.messages.aggregation import Identifier

Form = Literal["well_formed", "malformed", "not_checked"]

# Two letters, a letter and a digit, or two digits say which register of Companies House; societies' numbers end in a letter.
_COMPANIES_HOUSE = re.compile(r"(?:[A-Z]{2}|[A-Z]\d|\d{2})\d{5}[\dA-Z]", re.ASCII)


def _companies_house(number: str) -> bool:
    return _COMPANIES_HOUSE.fullmatch(number.upper()) is not None


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "XI-LEI": lei.is_valid,
    "AT-FB": at_firmenbuch.is_valid,
    "AU-ABN": abn.is_valid,
    "AU-ACN": acn.is_valid,
    "BR-CNPJ": cnpj.is_valid,
    "CH-FDJP": ch_uid.is_valid,
    "CH-VAT": ch_vat.is_valid,
    "CZ-ICO": dic.is_valid,
    "DK-CVR": cvr.is_valid,
    "EE-RIK": registrikood.is_valid,
    "FI-PRO": ytunnus.is_valid,
    "FR-INSEE": siren.is_valid,
    "FR-SIRET": siret.is_valid,
    "GB-COH": _companies_house,
    "GB-VAT": gb_vat.is_valid,
    "NO-BRC": no_orgnr.is_valid,
    "NO-VAT": mva.is_valid,
    "PL-NIP": nip.is_valid,
    "PL-REGON": regon.is_valid,
    "SE-BLV": se_orgnr.is_valid,
    "UA-EDR": edrpou.is_valid,
    "US-EIN": ein.is_valid,
    **{
        f"{state.upper()}-VAT": number.is_valid
        for state in eu_vat.MEMBER_STATES - {"xi"}
        if (number := get_cc_module(state, "vat"))
    },
}
"""By scheme of org-id.guide; `<country>-VAT` is the country's number for value added tax, with or without its prefix."""


def form_of(identifier: Identifier) -> Form:
    """Say whether an identifier has its register's form and check digits.

    `not_checked`: the scheme is none of those above. Such an identifier is taken as it is: most registers' numbers have no check
    digit, and whoever stands in one of them must not be shut out by a table that does not know it.
    """
    check = _CHECKS.get(identifier.scheme)
    if check is None:
        return "not_checked"
    return "well_formed" if check(identifier.id) else "malformed"
