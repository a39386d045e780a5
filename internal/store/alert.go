package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// Alerts lists the open alerts, newest first; host narrows when it is not "".
func (r reader) Alerts(ctx context.Context, host job.HostID) ([]fleet.Alert, error) {
	var w where
	w.add("closed_at = 0")
	if host != "" {
		w.add("host_id = ?", host)
	}
	items, err := collect(ctx, r.q, scanAlert, selectAlert+w.String()+" ORDER BY last_at DESC LIMIT 200", w.args...)
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return items, nil
}

const selectAlert = "SELECT id, kind, host_id, subject, sentence, opened_at, last_at, times, closed_at FROM alerts"

func scanAlert(row scanner) (a fleet.Alert, err error) {
	return a, row.Scan(&a.ID, &a.Kind, &a.Host, &a.Subject, &a.Sentence, instant{&a.OpenedAt}, instant{&a.LastAt}, &a.Count, instant{&a.ClosedAt})
}

// OpenAlertByID returns an alert that is open.
func (r reader) OpenAlertByID(ctx context.Context, id string) (fleet.Alert, error) {
	alert, err := scanAlert(r.q.QueryRowContext(ctx, selectAlert+" WHERE id = $1 AND closed_at = 0", id))
	if errors.Is(err, sql.ErrNoRows) {
		return alert, fleet.NotFound("open alert", id)
	}
	if err != nil {
		return alert, fmt.Errorf("read alert: %w", err)
	}
	return alert, nil
}

// OpenAlert opens an alert, or notes that the open one still holds. It tells
// whether it was opened.
func (t *Tx) OpenAlert(ctx context.Context, a fleet.Alert, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE alerts SET last_at = $1, times = times + 1, sentence = $2 WHERE kind = $3 AND host_id = $4 AND subject = $5 AND closed_at = 0",
		millis(now), plain(a.Sentence), a.Kind, a.Host, plain(a.Subject))
	if err != nil || n > 0 {
		return false, wrapAlert(err)
	}
	err = t.exec(ctx, "INSERT INTO alerts (id, kind, host_id, subject, sentence, opened_at, last_at, times, closed_at) VALUES ($1, $2, $3, $4, $5, $6, $6, 1, 0)",
		newID(now), a.Kind, a.Host, plain(a.Subject), plain(a.Sentence), millis(now))
	return err == nil, wrapAlert(err)
}

// CloseAlert closes the open alert of that kind and subject, if there is one.
func (t *Tx) CloseAlert(ctx context.Context, kind fleet.AlertKind, host job.HostID, subject string, now time.Time) error {
	return wrapAlert(t.exec(ctx, "UPDATE alerts SET closed_at = $1 WHERE kind = $2 AND host_id = $3 AND subject = $4 AND closed_at = 0", millis(now), kind, host, plain(subject)))
}

// CloseAlertByID closes one alert; false means it is not open.
func (t *Tx) CloseAlertByID(ctx context.Context, id string, now time.Time) (bool, error) {
	n, err := t.changed(ctx, "UPDATE alerts SET closed_at = $1 WHERE id = $2 AND closed_at = 0", millis(now), id)
	return n == 1, wrapAlert(err)
}

// CloseAlertsOf closes all alerts of a host.
func (t *Tx) CloseAlertsOf(ctx context.Context, host job.HostID, now time.Time) error {
	return wrapAlert(t.exec(ctx, "UPDATE alerts SET closed_at = $1 WHERE host_id = $2 AND closed_at = 0", millis(now), host))
}

func wrapAlert(err error) error {
	if err != nil {
		return fmt.Errorf("write alert: %w", err)
	}
	return nil
}

// DropAlerts removes alerts that were closed before the given time.
func (t *Tx) DropAlerts(ctx context.Context, before time.Time) error {
	return wrapAlert(t.exec(ctx, "DELETE FROM alerts WHERE closed_at > 0 AND closed_at < $1", millis(before)))
}

// CountRejected counts the records of a host that could not be applied.
func (r reader) CountRejected(ctx context.Context, host job.HostID) (n int, err error) {
	if err = r.q.QueryRowContext(ctx, "SELECT count(*) FROM rejected_records WHERE host_id = $1", host).Scan(&n); err != nil {
		return 0, fmt.Errorf("count rejected records: %w", err)
	}
	return n, nil
}

// RejectRecord keeps a record that could not be applied.
func (t *Tx) RejectRecord(ctx context.Context, host job.HostID, journal string, seq uint64, kind, body, reason string, now time.Time) error {
	err := t.exec(ctx, `INSERT INTO rejected_records (host_id, journal_id, seq, kind, body, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (host_id, journal_id, seq) DO NOTHING`, host, plain(journal), int64(seq), plain(kind), plain(body), plain(reason), millis(now))
	if err != nil {
		return fmt.Errorf("keep rejected record: %w", err)
	}
	return nil
}

// DropRejected removes rejected records older than the given time.
func (t *Tx) DropRejected(ctx context.Context, before time.Time) error {
	if err := t.exec(ctx, "DELETE FROM rejected_records WHERE at < $1", millis(before)); err != nil {
		return fmt.Errorf("remove old rejected records: %w", err)
	}
	return nil
}
