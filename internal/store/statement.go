package store

import (
	"context"
	"database/sql"
	"sync"
)

// statements keeps prepared what is asked of SQLite again and again: parsing
// takes four fifths of the time of a small question. PostgreSQL's driver does
// the like by itself.
type statements struct {
	db *sql.DB

	mutex    sync.RWMutex
	prepared map[string]*sql.Stmt
	wanted   []string
}

// maxStatements bounds what is kept; a list that can be narrowed in many ways has
// many texts.
const maxStatements = 400

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, prepared: map[string]*sql.Stmt{}}
}

// find returns the statement of a text. nil is that it is not prepared yet, and
// noted to be.
func (s *statements) find(query string) *sql.Stmt {
	s.mutex.RLock()
	found, full := s.prepared[query], len(s.prepared) >= maxStatements
	s.mutex.RUnlock()
	if found == nil && !full {
		s.mutex.Lock()
		s.wanted = append(s.wanted, query)
		s.mutex.Unlock()
	}
	return found
}

// prepare makes ready what was not found. It needs a free connection, so it is
// called outside of a transaction. A text that can't be prepared is tried again
// by whoever runs it, who is told why.
func (s *statements) prepare() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, query := range s.wanted {
		if s.prepared[query] != nil || len(s.prepared) >= maxStatements {
			continue
		}
		if made, err := s.db.PrepareContext(context.Background(), query); err == nil { //nolint:sqlclosecheck // it is kept, and closed with its database
			s.prepared[query] = made
		}
	}
	s.wanted = nil
}

// QueryContext implements queryer.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if found := s.findNow(query); found != nil { //nolint:sqlclosecheck // it is kept
		return found.QueryContext(ctx, args...)
	}
	return s.db.QueryContext(ctx, query, args...)
}

// QueryRowContext implements queryer.
func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if found := s.findNow(query); found != nil { //nolint:sqlclosecheck // it is kept
		return found.QueryRowContext(ctx, args...)
	}
	return s.db.QueryRowContext(ctx, query, args...)
}

func (s *statements) findNow(query string) *sql.Stmt {
	found := s.find(query)
	if found != nil {
		return found
	}
	s.prepare()
	return s.find(query)
}

// prepared is a transaction that uses prepared statements.
type prepared struct {
	*sql.Tx
	statements *statements
}

func (p prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if found := p.statements.find(query); found != nil {
		return p.StmtContext(ctx, found).QueryContext(ctx, args...) //nolint:sqlclosecheck // it ends with the transaction
	}
	return p.Tx.QueryContext(ctx, query, args...)
}

func (p prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if found := p.statements.find(query); found != nil {
		return p.StmtContext(ctx, found).QueryRowContext(ctx, args...) //nolint:sqlclosecheck // it ends with the transaction
	}
	return p.Tx.QueryRowContext(ctx, query, args...)
}

func (p prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if found := p.statements.find(query); found != nil {
		return p.StmtContext(ctx, found).ExecContext(ctx, args...) //nolint:sqlclosecheck // it ends with the transaction
	}
	return p.Tx.ExecContext(ctx, query, args...)
}
