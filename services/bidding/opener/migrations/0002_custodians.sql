-- For which custodian a box was opened beside the opener. A process that knows of no custodian writes none, and must not
-- take the inner seal for an offer: what is opened is never opened again.
ALTER TABLE opened_boxes ADD COLUMN custodian_key text;

CREATE FUNCTION refuse_without_custodian() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.custodian_key IS DISTINCT FROM (
        SELECT custodian_key FROM bidding.boxes WHERE purchase_id = NEW.purchase_id
    ) THEN
        RAISE EXCEPTION 'the box is opened for another custodian than its own' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER opened_boxes_have_their_custodian
    BEFORE INSERT ON opened_boxes FOR EACH ROW EXECUTE FUNCTION refuse_without_custodian();
