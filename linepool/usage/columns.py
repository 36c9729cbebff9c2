"""The columns of usage files, as bills of several countries name them."""

import re
from collections.abc import Iterable, Mapping

from linepool.rating.lines import UNIT_CODE
from linepool.tables.columns import plain

CHARGE = "charge"
FIXED_COLUMNS = ("buyer", "line_id", "month", "recurring_charge", "contract_end", "exit_fee")
MAXIMUM_SERVICES = 40
"""So many a report to the aggregation service can carry."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "buyer": (
        "member", "organisation", "organization", "customer",
        "Käufer", "Mitglied", "Kunde", "acheteur", "membre", "client", "comprador", "miembro", "cliente",
    ),
    "line_id": (
        "line", "line number", "phone number", "msisdn",
        "Anschluss", "Leitung", "Rufnummer", "Telefonnummer",
        "ligne", "numéro de ligne", "numéro de téléphone", "línea", "número de línea", "número de teléfono",
    ),
    "month": ("billing month", "Monat", "Abrechnungsmonat", "mois", "mois de facturation", "mes", "mes de facturación"),
    "recurring_charge": (
        "monthly charge", "line rental", "Grundgebühr", "Grundpreis", "abonnement", "frais d'abonnement",
        "cuota", "cuota fija", "cuota mensual",
    ),
    "contract_end": (
        "end of contract", "Vertragsende", "fin de contrat", "fin du contrat", "fin de contrato", "fin del contrato",
    ),
    "exit_fee": (
        "early termination fee", "termination fee", "Ablöse", "Ablösesumme", "frais de résiliation",
        "penalización", "penalización por baja",
    ),
}  # fmt: skip
"""What else our columns are called: English, German, French, Spanish."""

CHARGES = frozenset(
    {"charge", "charged", "cost", "amount", "kosten", "betrag", "coût", "montant", "coste", "importe"}
)
"""What may stand behind a service's colon for its charge."""

UNITS: Mapping[str, str] = {
    "min": "MIN", "minutes": "MIN", "minuten": "MIN", "minutos": "MIN",
    "mb": "4L", "gb": "E34", "go": "E34",
    "pieces": "C62", "stück": "C62", "pièces": "C62", "unidades": "C62",
}  # fmt: skip
"""What may stand behind a service's colon for a unit of UN/ECE Recommendation 20."""

_SERVICE = re.compile(r"(?=.{1,40}\Z)[a-z][a-z0-9]*(?:\.[a-z0-9]+)*", re.ASCII)
_KNOWN = {plain(name): column for column, names in SYNONYMS.items() for name in (column, *names)}


def our_usage_column(name: str) -> str | None:
    """Return what we call a column that a usage file names so, None if it is not known."""
    known = _KNOWN.get(plain(name))
    if known is not None:
        return known
    service, colon, what = (part.strip() for part in plain(name).partition(":"))
    if not colon or _SERVICE.fullmatch(service) is None:
        return None
    if what in CHARGES:
        return f"{service}:{CHARGE}"
    unit = UNITS.get(what, what.upper())
    return f"{service}:{unit}" if UNIT_CODE.fullmatch(unit) else None


def services_of(columns: Iterable[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the unit of each service that has both its columns, and sentences about what is wrong with them."""
    units: dict[str, str] = {}
    charged: list[str] = []
    faults: list[str] = []
    for column in columns:
        service, colon, what = column.partition(":")
        if not colon:
            continue
        if what == CHARGE:
            charged.append(service)
        elif service in units:
            faults.append(f"{service} stands in two units")
        else:
            units[service] = what
    faults.extend(f"{service} has a charge and no quantity" for service in charged if service not in units)
    faults.extend(f"{service} has a quantity and no charge" for service in units if service not in charged)
    if len(units) > MAXIMUM_SERVICES:
        faults.append(f"there are more than {MAXIMUM_SERVICES} services")
    if not units and not charged:
        faults.append("no column of a service, such as voice.day:MIN")
    return units, tuple(faults)
