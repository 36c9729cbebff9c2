"""Rating usage under tariffs and comparing replies: pure functions, decimal amounts, no input or output.

`lines` says what usage is, `tariff` and `tariff_document` what a provider's prices are, `rate` what a group
is charged under one tariff, `evaluate` compares replies, `comparison` is what comes out.
"""
