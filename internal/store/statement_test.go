package store

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
)

// TestStatementsArePreparedOnce: what is asked again is prepared, as many texts
// as are kept, and every text works prepared or not.
func TestStatementsArePreparedOnce(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	writing, reading := s.group.statements, s.q.(*statements)
	for n := range maxStatements + 50 {
		query := fmt.Sprintf("INSERT INTO meta (name, value) VALUES ($1, 'value %d')", n)
		count := fmt.Sprintf("SELECT count(*) FROM meta WHERE value = 'value %d'", n)
		for round := range 3 {
			err := s.Write(t.Context(), func(tx *Tx) error {
				return tx.exec(context.Background(), query, fmt.Sprintf("%d %d", n, round))
			})
			if err != nil {
				t.Fatal(err)
			}
			var found int
			if err := s.q.QueryRowContext(t.Context(), count).Scan(&found); err != nil || found != round+1 {
				t.Fatalf("%d rows, %v", found, err)
			}
		}
	}
	for name, kept := range map[string]*statements{"writing": writing, "reading": reading} {
		if len(kept.prepared) != maxStatements || len(kept.wanted) != 0 {
			t.Errorf("%s: %d are prepared, %d wanted", name, len(kept.prepared), len(kept.wanted))
		}
	}
	// A wrong text fails each time, and keeps nothing from working.
	for range 2 {
		if err := s.Write(t.Context(), func(tx *Tx) error { return tx.exec(context.Background(), "INSERT INTO nothing VALUES (1)") }); err == nil {
			t.Error("a table that does not exist was written to")
		}
	}
}
