"""Which boxes and awards wait, from a box's key to the accepted terms. How full a box is shows nowhere here."""

import asyncpg

from shared.waiting import Queue, Step, Waiting, Waits

KEY = Step("key", "machine", "the opener to make the key of the box")
REPLIES = Step("replies", "deadline", "the deadline for replies")
CLOSING = Step("closing", "machine", "the box to be closed: rfp's word, the clocks, or messages on their way")
CUSTODIAN = Step("custodian", "person", "the custodian's key, which the coordinator hands in")
OPENING = Step("opening", "machine", "the opener to open the box")
COMPARING = Step("comparing", "machine", "the replies to be evaluated on the pinned usage")
SELECTION = Step("selection", "person", "the group to select a reply")
TERMS = Step("terms", "provider", "the selected provider to present its terms")
ACCEPTANCE = Step("acceptance", "person", "the group to accept or reject the terms")

_SAID = """(
    SELECT max(decided_at) FROM log
    WHERE stream = 'bidding.events' AND subject = box.purchase_id::text AND type = ANY(%s)
)"""


async def find(connection: asyncpg.Connection) -> list[Waiting]:
    """Return every purchase from its request's issue to its accepted terms, a cancelled one excepted."""
    rows = await connection.fetch(
        f"""
        SELECT box.purchase_id, CASE
            WHEN stage = 'closing' OR (stage = 'open' AND deadline <= clock_timestamp()) THEN 'closing'
            WHEN stage = 'open' AND ready_version IS DISTINCT FROM request_version THEN 'key'
            WHEN stage = 'open' THEN 'replies'
            WHEN stage = 'closed' AND custodian_key IS NOT NULL AND released_at IS NULL THEN 'custodian'
            WHEN stage = 'closed' THEN 'opening'
            WHEN stage = 'opened' THEN 'comparing'
            WHEN award.purchase_id IS NULL THEN 'selection'
            WHEN terms.id IS NULL THEN 'terms'
            ELSE 'acceptance'
        END AS step, CASE
            WHEN stage = 'closing' OR (stage = 'open' AND deadline <= clock_timestamp()) THEN deadline
            WHEN stage = 'open' AND ready_version IS DISTINCT FROM request_version THEN NULL
            WHEN stage = 'open' THEN {_SAID % "ARRAY['linepool.bid-box-ready.v1']"}
            WHEN stage = 'closed' THEN greatest(closed_at, released_at)
            WHEN stage = 'opened' THEN opened_at
            WHEN award.purchase_id IS NULL THEN compared_at
            WHEN terms.id IS NULL
                THEN {_SAID % "ARRAY['linepool.provider-selected.v1', 'linepool.terms-rejected.v1']"}
            ELSE {_SAID % "ARRAY['linepool.terms-presented.v1']"}
        END AS since
        FROM boxes AS box
        LEFT JOIN released_keys USING (purchase_id)
        LEFT JOIN awards AS award ON award.purchase_id = box.purchase_id AND award.standing
        LEFT JOIN terms ON terms.purchase_id = award.purchase_id AND terms.award = award.number
            AND terms.answer IS DISTINCT FROM 'rejected'
        WHERE stage NOT IN ('awaited', 'cancelled') AND terms.answer IS DISTINCT FROM 'accepted'
            AND (stage <> 'compared' OR EXISTS (
                SELECT FROM replies WHERE replies.purchase_id = box.purchase_id AND replies.standing = 'evaluated'
            ))
        """
    )
    return [Waiting(**row) for row in rows]


PROOFS = Queue(
    "proofs",
    "SELECT count(*), min(greatest(made_at, opened_at)) FROM published_checkpoints AS checkpoint JOIN boxes USING (purchase_id)"
    " WHERE proved_at IS NULL AND opened_at IS NOT NULL AND checkpoint.provider_ids IS NOT NULL",
)
WAITS = Waits(
    (KEY, REPLIES, CLOSING, CUSTODIAN, OPENING, COMPARING, SELECTION, TERMS, ACCEPTANCE), find, (PROOFS,)
)
