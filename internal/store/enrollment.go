package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

const enrollmentColumns = `id, secret_hash, name, tags, for_storage, storage_id, repository_url, created_at, created_by, expires_at, seen_at, seen_address,
	used_at, used_by, used_key`

func scanEnrollment(row scanner) (e fleet.EnrollmentToken, err error) {
	err = row.Scan(&e.ID, &e.SecretHash, &e.Name, encoded{&e.Tags}, &e.ForStorage, &e.Repository.Storage, &e.Repository.URL, instant{&e.CreatedAt}, &e.CreatedBy,
		instant{&e.ExpiresAt}, instant{&e.SeenAt}, &e.SeenAddress, instant{&e.UsedAt}, &e.UsedBy, binary{&e.UsedKey})
	return e, err
}

// Enrollments lists enrolment tokens, newest first.
func (r reader) Enrollments(ctx context.Context, page fleet.Page) ([]fleet.EnrollmentToken, string, error) {
	items, next, err := newestFirst(ctx, r.q, where{}, page, "SELECT "+enrollmentColumns+" FROM enrollment_tokens", scanEnrollment,
		func(e fleet.EnrollmentToken) string { return e.ID })
	if err != nil {
		return nil, "", fmt.Errorf("list enrolment tokens: %w", err)
	}
	return items, next, nil
}

// Enrollment returns one enrolment token.
func (r reader) Enrollment(ctx context.Context, id string) (fleet.EnrollmentToken, error) {
	return r.enrollmentWhere(ctx, "id = $1", id)
}

// EnrollmentBySecret returns the token whose secret has this hash.
func (r reader) EnrollmentBySecret(ctx context.Context, hash string) (fleet.EnrollmentToken, error) {
	return r.enrollmentWhere(ctx, "secret_hash = $1", hash)
}

func (r reader) enrollmentWhere(ctx context.Context, condition, value string) (fleet.EnrollmentToken, error) {
	e, err := scanEnrollment(r.q.QueryRowContext(ctx, "SELECT "+enrollmentColumns+" FROM enrollment_tokens WHERE "+condition, value))
	if errors.Is(err, sql.ErrNoRows) {
		return e, fleet.NotFound("enrolment token", "")
	}
	if err != nil {
		return e, fmt.Errorf("read enrolment token: %w", err)
	}
	return e, nil
}

// SealedEnrollment returns the sealed repository secrets that a token carries,
// and the user they belong to.
func (r reader) SealedEnrollment(ctx context.Context, id string) (user string, sealed []byte, err error) {
	if err := r.q.QueryRowContext(ctx, "SELECT repository_user, sealed FROM enrollment_tokens WHERE id = $1", id).Scan(&user, binary{&sealed}); err != nil {
		return "", nil, fmt.Errorf("read secrets of enrolment token: %w", err)
	}
	return user, sealed, nil
}

// InsertEnrollment adds an enrolment token; user and sealed are the access to an
// existing repository, or nothing.
func (t *Tx) InsertEnrollment(ctx context.Context, e fleet.EnrollmentToken, user string, sealed []byte) error {
	err := t.exec(ctx, `INSERT INTO enrollment_tokens (id, secret_hash, name, tags, storage_id, repository_url, repository_user, sealed, created_at, created_by,
		expires_at, for_storage, seen_at, seen_address, used_at, used_by, used_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '', 0, '', '')`,
		e.ID, e.SecretHash, e.Name, encode(e.Tags), e.Repository.Storage, e.Repository.URL, user, encodeBytes(sealed), millis(e.CreatedAt), e.CreatedBy, millis(e.ExpiresAt), e.ForStorage)
	if err != nil {
		return fmt.Errorf("add enrolment token: %w", err)
	}
	return nil
}

// SeeEnrollment notes that somebody came with the token.
func (t *Tx) SeeEnrollment(ctx context.Context, id, address string, now time.Time) error {
	if err := t.exec(ctx, "UPDATE enrollment_tokens SET seen_at = $1, seen_address = $2 WHERE id = $3", millis(now), address, id); err != nil {
		return fmt.Errorf("note enrolment: %w", err)
	}
	return nil
}

// UseEnrollment spends a token; false means it was spent before. Its secrets go.
func (t *Tx) UseEnrollment(ctx context.Context, e fleet.EnrollmentToken) (bool, error) {
	n, err := t.changed(ctx, "UPDATE enrollment_tokens SET used_at = $1, used_by = $2, used_key = $3, sealed = '' WHERE id = $4 AND used_at = 0",
		millis(e.UsedAt), e.UsedBy, encodeBytes(e.UsedKey), e.ID)
	if err != nil {
		return false, fmt.Errorf("spend enrolment token: %w", err)
	}
	return n == 1, nil
}

// DeleteEnrollment takes an unused token back.
func (t *Tx) DeleteEnrollment(ctx context.Context, id string) error {
	if err := t.exec(ctx, "DELETE FROM enrollment_tokens WHERE id = $1 AND used_at = 0", id); err != nil {
		return fmt.Errorf("withdraw enrolment token: %w", err)
	}
	return nil
}

// DropEnrollments removes tokens that ended before the given time.
func (t *Tx) DropEnrollments(ctx context.Context, before time.Time) error {
	if err := t.exec(ctx, "DELETE FROM enrollment_tokens WHERE expires_at < $1", millis(before)); err != nil {
		return fmt.Errorf("remove old enrolment tokens: %w", err)
	}
	return nil
}
