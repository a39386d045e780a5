// Package store owns the database: the schema, one SQL text for SQLite and
// PostgreSQL, and what is written together. It must not know who may do what,
// how agents are spoken to, or what a page shows.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// Store is the one way to the database. Reading methods are those of reader;
// everything that changes goes through Write.
type Store struct {
	reader
	reads  *sql.DB
	writes *sql.DB
	engine engine
	group  *groupCommit // nil where the engine commits concurrently by itself
	unlock func() error
}

// engine is what differs between the two databases.
type engine interface {
	name() string
	// uniqueViolation recognises a broken unique index, by code.
	uniqueViolation(error) bool
	// retryable recognises a transaction that lost a race and may be tried again.
	retryable(error) bool
	// migrationLock keeps two migrations apart, inside the transaction.
	migrationLock() string
}

// Tx is one transaction. It reads what it has written.
type Tx struct {
	reader
	tx     transaction
	engine engine
}

// transaction is what a Tx needs of the driver's.
type transaction interface {
	queryer
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Open opens the database that url names and brings its schema up to date:
// postgres:// or postgresql:// for PostgreSQL, otherwise the path of a SQLite
// file.
func Open(ctx context.Context, url string) (*Store, error) {
	var (
		s   *Store
		err error
	)
	if strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://") {
		s, err = openPostgres(ctx, url)
	} else {
		s, err = openSQLite(url)
	}
	if err != nil {
		return nil, err
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Engine is "sqlite" or "postgres".
func (s *Store) Engine() string { return s.engine.name() }

// Ping tells whether the database answers a write connection.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.writes.PingContext(ctx); err != nil {
		return fmt.Errorf("reach the database: %w", err)
	}
	return nil
}

// Close ends all connections.
func (s *Store) Close() error {
	errs := []error{s.reads.Close()}
	if s.writes != s.reads {
		errs = append(errs, s.writes.Close())
	}
	if s.unlock != nil {
		errs = append(errs, s.unlock())
	}
	return errors.Join(errs...)
}

// Write runs change in one transaction and returns once it is durable. change
// may be run again when the database asks for it, so it must have no effect
// outside.
func (s *Store) Write(ctx context.Context, change func(*Tx) error) error {
	if s.group != nil {
		return s.group.do(ctx, change)
	}
	const tries = 5
	for try := 1; ; try++ {
		err := s.writeOnce(ctx, change)
		if err == nil || try == tries || !s.engine.retryable(err) || ctx.Err() != nil {
			return err
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, change func(*Tx) error) error {
	tx, err := s.writes.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	if err := change(&Tx{reader{q: plainText{tx}}, plainText{tx}, s.engine}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Attempt runs step so that its failure undoes only step, not the transaction.
func (t *Tx) Attempt(ctx context.Context, step func() error) error {
	if err := t.exec(ctx, "SAVEPOINT attempt"); err != nil {
		return err
	}
	if err := step(); err != nil {
		return errors.Join(err, t.exec(context.WithoutCancel(ctx), "ROLLBACK TO SAVEPOINT attempt"), t.exec(context.WithoutCancel(ctx), "RELEASE SAVEPOINT attempt"))
	}
	return t.exec(ctx, "RELEASE SAVEPOINT attempt")
}

func (t *Tx) exec(ctx context.Context, query string, args ...any) error {
	_, err := t.tx.ExecContext(ctx, query, args...)
	return err
}

// changed runs an UPDATE or DELETE and tells how many rows it met.
func (t *Tx) changed(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := t.tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// newID makes an id whose order is that of time.
func newID(now time.Time) string {
	return ulid.MustNewDefault(now).String()
}
