"""The columns of a file of members, as people of several countries name them."""

import re
from collections.abc import Mapping

from linepool.tables.columns import plain

BILLING_COLUMNS = ("billing_format", "billing_frequency", "billing_payment_days", "billing_medium")
COLUMNS = ("legal_name", "identifiers", "contact_name", "contact_email", "contact_phone", *BILLING_COLUMNS)
REQUIRED = ("legal_name", "contact_name", "contact_email")

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "legal_name": (
        "name", "organisation", "organization", "company", "member", "buyer",
        "Firma", "Firmenname", "Organisation", "Mitglied", "Käufer",
        "raison sociale", "entreprise", "membre", "acheteur", "razón social", "empresa", "miembro", "comprador",
    ),
    "identifiers": ("identifier", "Kennungen", "Kennung", "identifiants", "identifiant", "identificadores", "identificador"),
    "contact_name": (
        "contact", "contact person", "Ansprechpartner", "Ansprechperson", "Kontakt",
        "interlocuteur", "personne de contact", "contacto", "persona de contacto",
    ),
    "contact_email": (
        "mail", "email", "e-mail", "email address", "contact mail", "Mailadresse", "E-Mail-Adresse",
        "courriel", "adresse électronique", "correo", "correo electrónico",
    ),
    "contact_phone": ("phone", "telephone", "phone number", "Telefon", "Telefonnummer", "téléphone", "teléfono"),
    "billing_format": ("invoice format", "Rechnungsformat", "format de facture", "formato de factura"),
    "billing_frequency": ("invoice frequency", "Rechnungsturnus", "fréquence de facturation", "frecuencia de facturación"),
    "billing_payment_days": ("payment days", "Zahlungsziel", "délai de paiement", "plazo de pago"),
    "billing_medium": ("invoice medium", "Rechnungsweg", "mode d'envoi", "medio de envío"),
}  # fmt: skip
"""What else our columns are called: English, German, French, Spanish."""

SCHEME = re.compile(r"[A-Z]{2}-[A-Z0-9]{2,10}", re.ASCII)
"""A scheme of org-id.guide, such as GB-COH; a column of that name has identifiers of that scheme."""

_KNOWN = {plain(name): column for column, names in SYNONYMS.items() for name in (column, *names)}


def our_member_column(name: str) -> str | None:
    """Return what we call a column that a file of members names so, None if it is not known."""
    known = _KNOWN.get(plain(name))
    if known is not None:
        return known
    return name.strip() if SCHEME.fullmatch(name.strip()) else None
