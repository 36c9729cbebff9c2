"""Every SQL statement of the notification service.

`facts`: what is known of each purchase, and what is told about it. `people`: how persons are reached, and which secrets
on their way to them are good. `mails`: the queue.
"""
