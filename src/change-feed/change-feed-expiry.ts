/**
 * Removes rows that every instance has had ten minutes to read. A row or a horizon from the future came with a backup
 * of another server, whose transactions had other numbers.
 */
export const EXPIRE_CHANGE_FEED = `
  WITH present AS (
    SELECT pg_snapshot_xmin(snapshot) AS oldest_running, pg_snapshot_xmax(snapshot) AS next
    FROM pg_current_snapshot() AS snapshot
  ), removed AS (
    DELETE FROM change_feed USING present
    WHERE xid >= next OR xid < oldest_running AND created_at < now() - interval '10 minutes'
    RETURNING xid
  ), newest AS (
    SELECT max(xid) AS xid FROM removed, present WHERE xid < next
  )
  UPDATE change_feed_horizon AS horizon
  SET xid = CASE WHEN horizon.xid >= next THEN coalesce(newest.xid, '0') ELSE greatest(horizon.xid, newest.xid) END
  FROM present, newest
  WHERE horizon.xid >= next OR newest.xid > horizon.xid`;
