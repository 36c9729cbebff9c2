"""What notification decides, without I/O and without a clock.

`known`: what has arrived about a purchase. `telling`: who is told what about it, and what must be known before.
`personal`: what a person is told of their own secrets, password and address. `mails`: what a mail is, where it goes,
and when it is not worth sending any more. `comparison` and `participation`: what is read from bidding's comparison,
and who did what with an invitation.
"""
