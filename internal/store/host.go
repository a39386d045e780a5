package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// nodeLease is the name under which a node shows that it lives.
const nodeLease = "node:"

const hostColumns = `h.id, h.name, h.tags, h.restic_host, h.public_key, h.hostname, h.os, h.arch, h.agent_version,
	h.restic_version, h.allowed, h.hooks, h.presence, h.address, h.storage_url, h.storage_free, h.storage_total, h.slots, h.enrolled_at, h.last_seen_at,
	h.clock_offset, h.plan_digest, h.plan_at, h.quarantined_at, h.removed_at, h.last_backup_at, h.last_backup_state, h.last_ended_at, h.last_job_id,
	h.last_error, coalesce((SELECT l.until FROM leases l WHERE h.session_node <> '' AND l.name = 'node:' || h.session_node), 0)`

func scanHost(row scanner) (fleet.Host, error) {
	var (
		h          fleet.Host
		storage    fleet.Storage
		offset     int64
		lease      time.Time
		allowedRaw = encoded{&h.Allowed}
		hooks      hooks
	)
	err := row.Scan(&h.ID, &h.Name, encoded{&h.Tags}, &h.ResticHost, binary{&h.PublicKey}, &h.Hostname, &h.OS, &h.Arch, &h.AgentVersion,
		&h.ResticVersion, allowedRaw, encoded{&hooks}, &h.Presence, &h.Address, &storage.URL, &storage.BytesFree, &storage.BytesTotal, &storage.Slots, instant{&h.EnrolledAt}, instant{&h.LastSeenAt},
		&offset, &h.PlanDigest, instant{&h.PlanAt}, instant{&h.QuarantinedAt}, instant{&h.RemovedAt}, instant{&h.LastBackupAt}, &h.LastBackupState, instant{&h.LastEndedAt}, &h.LastJobID,
		&h.LastError, instant{&lease})
	h.HookNames, h.HooksSent = hooks.Names, hooks.Sent
	h.ClockOffset = time.Duration(offset) * time.Millisecond
	if storage.URL != "" {
		h.Storage = &storage
	}
	h.Online = h.RemovedAt.IsZero() && lease.After(time.Now())
	return h, err
}

// hooks is the column of that name.
type hooks struct {
	Names []string `json:"names"`
	Sent  bool     `json:"sent"`
}

// HostFilter narrows a list of hosts; zero values do not narrow.
type HostFilter struct {
	Text    string // in name, hostname or tags
	Tag     string
	State   job.State // of the last backup
	Never   bool      // without any backup that ended
	Storage *bool     // storage agents only, or none of them
	Removed bool      // those that were removed instead of those that were not
	// TroubleFirst sorts by the last result instead of the name.
	TroubleFirst bool
	fleet.Page
}

// troubleRank sorts what needs a person first. Quarantine beats all.
var troubleRank = "CASE WHEN h.quarantined_at > 0 THEN 0 WHEN h.storage_url <> '' THEN 9 ELSE " + badFirst("h.last_backup_state") + " END"

// Hosts lists hosts by name or by trouble, and the cursor of the next page.
func (r reader) Hosts(ctx context.Context, f HostFilter) ([]fleet.Host, string, error) {
	var w where
	if f.Removed {
		w.add("h.removed_at > 0")
	} else {
		w.add("h.removed_at = 0")
	}
	if f.Text != "" {
		like := contains(f.Text)
		w.add("(lower(h.name) LIKE lower(?) ESCAPE '!' OR lower(h.hostname) LIKE lower(?) ESCAPE '!' OR lower(h.tags) LIKE lower(?) ESCAPE '!')", like, like, like)
	}
	if f.Tag != "" {
		w.add("h.tags LIKE ? ESCAPE '!'", contains(encode(f.Tag)))
	}
	if f.State != "" {
		w.add("h.last_backup_state = ?", f.State)
	}
	if f.Never {
		w.add("h.last_backup_state = '' AND h.storage_url = ''")
	}
	if f.Storage != nil && *f.Storage {
		w.add("h.storage_url <> ''")
	} else if f.Storage != nil {
		w.add("h.storage_url = ''")
	}
	rank := "0"
	if f.TroubleFirst {
		rank = troubleRank
	}
	if f.Cursor != "" {
		text, err := after(f.Cursor)
		if err != nil {
			return nil, "", err
		}
		place, name, ok := strings.Cut(text, " ")
		if !ok {
			return nil, "", errCursor
		}
		// One text key, so that the comparison needs no row values.
		w.add("("+rank+" || ' ' || lower(h.name)) > ?", place+" "+name)
	}
	query := "SELECT " + hostColumns + ", " + rank + " FROM hosts h" + w.String() +
		" ORDER BY (" + rank + " || ' ' || lower(h.name))" + w.limit(f.Size()+1)
	type ranked struct {
		fleet.Host
		rank string
	}
	rows, err := collect(ctx, r.q, func(row scanner) (item ranked, err error) {
		item.Host, err = scanHost(withMore{row, []any{&item.rank}})
		return item, err
	}, query, w.args...)
	if err != nil {
		return nil, "", fmt.Errorf("list hosts: %w", err)
	}
	rows, next := cut(rows, f.Size(), func(h ranked) string { return h.rank + " " + strings.ToLower(h.Name) })
	hosts := make([]fleet.Host, len(rows))
	for i, row := range rows {
		hosts[i] = row.Host
	}
	return hosts, next, nil
}

// withMore scans further columns behind those of the noun.
type withMore struct {
	scanner
	more []any
}

// Scan implements scanner.
func (w withMore) Scan(into ...any) error { return w.scanner.Scan(append(into, w.more...)...) }

// Host returns one host, also one that was removed.
func (r reader) Host(ctx context.Context, id job.HostID) (fleet.Host, error) {
	h, err := scanHost(r.q.QueryRowContext(ctx, "SELECT "+hostColumns+" FROM hosts h WHERE h.id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return h, fleet.NotFound("host", string(id))
	}
	if err != nil {
		return h, fmt.Errorf("read host: %w", err)
	}
	return h, nil
}

// HostByKey returns the host with that public key, also a removed one.
func (r reader) HostByKey(ctx context.Context, key []byte) (fleet.Host, error) {
	h, err := scanHost(r.q.QueryRowContext(ctx, "SELECT "+hostColumns+" FROM hosts h WHERE h.public_key = $1", encodeBytes(key)))
	if errors.Is(err, sql.ErrNoRows) {
		return h, fleet.NotFound("host with this key", "")
	}
	if err != nil {
		return h, fmt.Errorf("read host by key: %w", err)
	}
	return h, nil
}

// HostCounts sums up the fleet, without its removed hosts.
type HostCounts struct {
	Endpoints, Storage, Online      int
	Never, Good, Warned, Bad, Other int // of the endpoints, by their last backup
	Quarantined                     int
}

// CountHosts sums up the fleet.
func (r reader) CountHosts(ctx context.Context, now time.Time) (c HostCounts, err error) {
	type kind struct {
		storage, state      string
		online, quarantined bool
		hosts               int
	}
	// The rows of the inner query are few, and hosts_sums holds all it reads.
	kinds, err := collect(ctx, r.q, func(row scanner) (k kind, err error) {
		return k, row.Scan(&k.storage, &k.state, &k.online, &k.quarantined, &k.hosts)
	}, `SELECT storage_url, last_backup_state, EXISTS (SELECT 1 FROM leases l WHERE l.name = 'node:' || session_node AND l.until > $1), quarantined_at > 0, hosts
		FROM (SELECT storage_url, last_backup_state, session_node, quarantined_at, count(*) AS hosts FROM hosts WHERE removed_at = 0
			GROUP BY storage_url, last_backup_state, session_node, quarantined_at) AS kinds`, millis(now))
	if err != nil {
		return c, fmt.Errorf("count hosts: %w", err)
	}
	for _, k := range kinds {
		if k.online {
			c.Online += k.hosts
		}
		if k.quarantined {
			c.Quarantined += k.hosts
		}
		if k.storage != "" {
			c.Storage += k.hosts
			continue
		}
		c.Endpoints += k.hosts
		switch job.State(k.state) { //nolint:exhaustive // all others are neither good nor bad
		case "":
			c.Never += k.hosts
		case job.Succeeded:
			c.Good += k.hosts
		case job.Warning:
			c.Warned += k.hosts
		case job.Failed, job.Lost:
			c.Bad += k.hosts
		default:
			c.Other += k.hosts
		}
	}
	return c, nil
}

// InsertHost adds an enrolled host.
func (t *Tx) InsertHost(ctx context.Context, h fleet.Host) error {
	var storage fleet.Storage
	if h.Storage != nil {
		storage = *h.Storage
	}
	if storage.Slots == 0 {
		storage.Slots = fleet.DefaultSlots
	}
	if h.Presence == "" {
		h.Presence = fleet.AlwaysOn
	}
	err := t.exec(ctx, `INSERT INTO hosts (id, name, tags, restic_host, public_key, hostname, os, arch, agent_version, restic_version,
		allowed, hooks, presence, address, storage_url, storage_free, storage_total, slots, enrolled_at, last_seen_at, session_node, clock_offset, plan_digest, plan_at, journal_id, cursor,
		connect_counter, counter_floor, quarantined_at, removed_at, last_backup_at, last_backup_state, last_ended_at, last_job_id, last_error)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, 0, '', 0, '', 0, '', 0, 0, 0, 0, 0, 0, '', 0, '', '')`,
		h.ID, h.Name, encode(h.Tags), h.ResticHost, encodeBytes(h.PublicKey), plain(h.Hostname), plain(h.OS), plain(h.Arch), plain(h.AgentVersion),
		plain(h.ResticVersion), encode(h.Allowed), encode(hooks{h.HookNames, h.HooksSent}), h.Presence, h.Address,
		storage.URL, storage.BytesFree, storage.BytesTotal, storage.Slots, millis(h.EnrolledAt))
	if t.engine.uniqueViolation(err) {
		return fleet.Conflict("There is a host named %q already. Choose another name.", h.Name)
	}
	if err != nil {
		return fmt.Errorf("add host: %w", err)
	}
	return nil
}

// UpdateHost writes what a person may change.
func (t *Tx) UpdateHost(ctx context.Context, h fleet.Host) error {
	slots := fleet.DefaultSlots
	if h.Storage != nil {
		slots = h.Storage.Slots
	}
	_, err := t.changed(ctx, "UPDATE hosts SET name = $1, tags = $2, presence = $3, slots = $4 WHERE id = $5 AND removed_at = 0",
		h.Name, encode(h.Tags), h.Presence, slots, h.ID)
	if t.engine.uniqueViolation(err) {
		return fleet.Conflict("There is a host named %q already. Choose another name.", h.Name)
	}
	if err != nil {
		return fmt.Errorf("change host: %w", err)
	}
	return nil
}

// RemoveHost marks a host as removed; false means it was already.
func (t *Tx) RemoveHost(ctx context.Context, id job.HostID, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE hosts SET removed_at = $1, session_node = '' WHERE id = $2 AND removed_at = 0", millis(now), id)
	if err != nil {
		return false, fmt.Errorf("remove host: %w", err)
	}
	return n == 1, nil
}
