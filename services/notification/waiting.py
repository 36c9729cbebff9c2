"""Which mails wait to be sent."""

from shared.waiting import Queue, Waits

MAILS = Queue(
    "mails",
    "SELECT count(*), min(queued_at) FROM mails WHERE delivered_at IS NULL AND failed_at IS NULL",
)
WAITS = Waits(queues=(MAILS,))
