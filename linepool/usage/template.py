"""A usage file to start from."""

TEMPLATE = (
    (
        "buyer", "line_id", "month", "recurring_charge", "contract_end", "exit_fee",
        "voice.day:MIN", "voice.day:charge", "voice.night:MIN", "voice.night:charge", "mobile.data:GB", "mobile.data:charge",
    ),
    ("Example Town Hall", "TH-01", "2026-01", "12.50", "2027-03-31", "40.00", "265.1", "45.07", "244.7", "11.01", "", ""),
    ("Example Town Hall", "TH-02", "2026-01", "12.50", "", "", "161.6", "27.47", "", "", "3.5", "9.80"),
    ("Example Library", "LIB-01", "2026-01", "9.90", "", "", "0", "0.00", "", "", "12", "33.60"),
)  # fmt: skip
"""Three invented lines of two buyers, and the header above them."""
