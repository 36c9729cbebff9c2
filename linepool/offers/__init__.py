"""What an offer must be, decided the same way by bidding, which judges it, and by the provider kit, which refuses to send it.

Pure functions of the contract's messages: `validity` says what is wrong with an offer, `tariffs` how it is rated.
"""
