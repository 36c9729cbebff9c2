"""A file of members to start from."""

TEMPLATE = (
    (
        "legal_name", "identifiers", "contact_name", "contact_email", "contact_phone",
        "billing_format", "billing_frequency", "billing_payment_days", "billing_medium",
    ),
    (
        "Example Town Hall", "XI-LEI 5493001KJTIIGC8Y1R12; US-EIN 12-3456789", "Ada Example", "ada@example.org",
        "+49 30 1234567", "pdf", "monthly", "30", "email",
    ),
    ("Example Library", "GB-COH 01234567", "Ben Example", "ben@example.org", "", "", "", "", ""),
)  # fmt: skip
"""Two invented members, and the header above them."""
