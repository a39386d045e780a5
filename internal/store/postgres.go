package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

type postgresEngine struct{}

// The codes are those of PostgreSQL's appendix A.
const (
	pgUniqueViolation      = "23505"
	pgSerializationFailure = "40001"
	pgDeadlock             = "40P01"
)

func (postgresEngine) name() string { return "postgres" }

func (postgresEngine) uniqueViolation(err error) bool { return pgCode(err) == pgUniqueViolation }

func (postgresEngine) retryable(err error) bool {
	code := pgCode(err)
	return code == pgSerializationFailure || code == pgDeadlock
}

func (postgresEngine) migrationLock() string {
	return "SELECT pg_advisory_xact_lock(7261190)" // any number, the same in every server
}

func pgCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func openPostgres(ctx context.Context, url string) (*Store, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		// The driver's error may hold the URL, and with it a password.
		return nil, errors.New("open database: the PostgreSQL URL can't be read; it looks like postgres://user:password@host:5432/name")
	}
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(10)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: PostgreSQL does not answer: %w", err), db.Close())
	}
	return &Store{reader: reader{q: plainText{db}}, reads: db, writes: db, engine: postgresEngine{}}, nil
}
