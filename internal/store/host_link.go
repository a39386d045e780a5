package store

import (
	"context"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Link is where the log of one host stands.
type Link struct {
	JournalID string
	Cursor    uint64
	// Counter is the largest connect counter that was let in.
	Counter uint64
	// Floor: a session that counts below it is a known copy.
	Floor         uint64
	Node          string
	QuarantinedAt time.Time
	RemovedAt     time.Time
}

// Link reads where a host's log stands.
func (r reader) Link(ctx context.Context, id job.HostID) (l Link, err error) {
	err = r.q.QueryRowContext(ctx, "SELECT journal_id, cursor, connect_counter, counter_floor, session_node, quarantined_at, removed_at FROM hosts WHERE id = $1", id).
		Scan(&l.JournalID, &l.Cursor, &l.Counter, &l.Floor, &l.Node, instant{&l.QuarantinedAt}, instant{&l.RemovedAt})
	if err != nil {
		return l, fmt.Errorf("read link of host %s: %w", id, err)
	}
	return l, nil
}

// SetLink writes journal, cursor and counters of a host's log.
func (t *Tx) SetLink(ctx context.Context, id job.HostID, l Link) error {
	err := t.exec(ctx, "UPDATE hosts SET journal_id = $1, cursor = $2, connect_counter = $3, counter_floor = $4, quarantined_at = $5 WHERE id = $6",
		l.JournalID, l.Cursor, l.Counter, l.Floor, millis(l.QuarantinedAt), id)
	if err != nil {
		return fmt.Errorf("write link of host %s: %w", id, err)
	}
	return nil
}

// Advance moves a host's cursor; false means another session has moved it.
func (t *Tx) Advance(ctx context.Context, id job.HostID, journal string, from, to uint64, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE hosts SET cursor = $1, last_seen_at = $2 WHERE id = $3 AND journal_id = $4 AND cursor = $5",
		to, millis(now), id, journal, from)
	if err != nil {
		return false, fmt.Errorf("move cursor of host %s: %w", id, err)
	}
	return n == 1, nil
}

// OpenSession notes that node holds the host's session, and what its hello said.
func (t *Tx) OpenSession(ctx context.Context, node string, h fleet.Host) error {
	var storage fleet.Storage
	if h.Storage != nil {
		storage = *h.Storage
	}
	err := t.exec(ctx, `UPDATE hosts SET session_node = $1, hostname = $2, os = $3, arch = $4, agent_version = $5, restic_version = $6,
		allowed = $7, address = $8, storage_url = $9, storage_free = $10, storage_total = $11, last_seen_at = $12, clock_offset = $13, hooks = $14,
		plan_digest = $15, plan_at = $16 WHERE id = $17`,
		node, plain(h.Hostname), plain(h.OS), plain(h.Arch), plain(h.AgentVersion), plain(h.ResticVersion), encode(h.Allowed), h.Address,
		plain(storage.URL), storage.BytesFree, storage.BytesTotal, millis(h.LastSeenAt), h.ClockOffset.Milliseconds(),
		encode(hooks{h.HookNames, h.HooksSent}), plain(h.PlanDigest), millis(h.PlanAt), h.ID)
	if err != nil {
		return fmt.Errorf("open session of host %s: %w", h.ID, err)
	}
	return nil
}

// SetPlan notes that a host was sent a plan.
func (t *Tx) SetPlan(ctx context.Context, id job.HostID, digest string, now time.Time) error {
	if err := t.exec(ctx, "UPDATE hosts SET plan_digest = $1, plan_at = $2 WHERE id = $3", digest, millis(now), id); err != nil {
		return fmt.Errorf("note plan of host %s: %w", id, err)
	}
	return nil
}

// CloseSession notes that node no longer holds the host's session.
func (t *Tx) CloseSession(ctx context.Context, node string, id job.HostID, now time.Time) error {
	if err := t.exec(ctx, "UPDATE hosts SET session_node = '', last_seen_at = $1 WHERE id = $2 AND session_node = $3", millis(now), id, node); err != nil {
		return fmt.Errorf("close session of host %s: %w", id, err)
	}
	return nil
}

// SeenHosts notes that the sessions of node still answer.
func (t *Tx) SeenHosts(ctx context.Context, node string, now time.Time) error {
	if err := t.exec(ctx, "UPDATE hosts SET last_seen_at = $1 WHERE session_node = $2", millis(now), node); err != nil {
		return fmt.Errorf("note live sessions: %w", err)
	}
	return nil
}

// DeadSessions clears the sessions of nodes whose lease has ended and returns
// the hosts.
func (t *Tx) DeadSessions(ctx context.Context, now time.Time) ([]job.HostID, error) {
	// One statement: a host that another node has taken over meanwhile stays there.
	ids, err := collect(ctx, t.q, func(row scanner) (id job.HostID, err error) { return id, row.Scan(&id) }, `UPDATE hosts SET session_node = '' WHERE session_node <> ''
		AND NOT EXISTS (SELECT 1 FROM leases l WHERE l.name = 'node:' || session_node AND l.until > $1) RETURNING id`, millis(now))
	if err != nil {
		return nil, fmt.Errorf("clear dead sessions: %w", err)
	}
	return ids, nil
}
