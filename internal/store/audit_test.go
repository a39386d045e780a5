package store_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/crypto"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/server/control"
	"github.com/restic-manager/restic-manager/internal/store"
	"github.com/restic-manager/restic-manager/internal/testkit"
)

func TestAudit(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine+"/list", func(t *testing.T) { testAuditList(t, open(t, engine)) })
		t.Run(engine+"/seals", func(t *testing.T) { testAuditSeals(t, open(t, engine)) })
		t.Run(engine+"/tampering", func(t *testing.T) { testTampering(t, engine) })
	}
}

// addEntries writes n entries, a minute apart.
func addEntries(t *testing.T, s *store.Store, n int) {
	t.Helper()
	write(t, s, func(tx *store.Tx) error {
		for i := range n {
			e := fleet.AuditEntry{At: start.Add(time.Duration(i) * time.Minute), Actor: "ann", Action: "host.changed", Noun: "host", Subject: fmt.Sprintf("H%d", i), Detail: `{"n":1}`}
			if i%2 == 1 {
				e.Actor, e.Action, e.Noun = "server", "job.created", "job"
			}
			if err := tx.Audit(t.Context(), e); err != nil {
				return err
			}
		}
		return nil
	})
}

func testAuditList(t *testing.T, s *store.Store) {
	addEntries(t, s, 10)
	for name, test := range map[string]struct {
		filter store.AuditFilter
		want   string
	}{
		"all":            {store.AuditFilter{}, "H9 H8 H7 H6 H5 H4 H3 H2 H1 H0"},
		"actor":          {store.AuditFilter{Actor: "ANN"}, "H8 H6 H4 H2 H0"},
		"part of actor":  {store.AuditFilter{Actor: "an"}, ""},
		"action":         {store.AuditFilter{Action: "job.created"}, "H9 H7 H5 H3 H1"},
		"begin of it":    {store.AuditFilter{Action: "Host."}, "H8 H6 H4 H2 H0"},
		"end of it":      {store.AuditFilter{Action: "changed"}, ""},
		"a wildcard":     {store.AuditFilter{Action: "host_"}, ""},
		"text":           {store.AuditFilter{Text: "h3"}, "H3"},
		"from":           {store.AuditFilter{From: start.Add(7 * time.Minute)}, "H9 H8 H7"},
		"to":             {store.AuditFilter{To: start.Add(2 * time.Minute)}, "H1 H0"},
		"between":        {store.AuditFilter{From: start.Add(2*time.Minute + time.Millisecond), To: start.Add(4*time.Minute + time.Millisecond)}, "H4 H3"},
		"before it all":  {store.AuditFilter{To: time.Unix(-5, 0)}, ""},
		"far in future":  {store.AuditFilter{From: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
		"noun, subject":  {store.AuditFilter{Noun: "job", Subject: "H5"}, "H5"},
		"several at one": {store.AuditFilter{Actor: "server", From: start.Add(4 * time.Minute), To: start.Add(8 * time.Minute)}, "H7 H5"},
	} {
		entries, _, err := s.AuditEntries(t.Context(), test.filter)
		if got := subjects(entries); err != nil || got != test.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, test.want)
		}
	}
	filter := store.AuditFilter{Page: fleet.Page{Limit: 4}}
	var pages []string
	for {
		entries, next, err := s.AuditEntries(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		if pages = append(pages, subjects(entries)); next == "" {
			break
		}
		filter.Cursor = next
	}
	if want := []string{"H9 H8 H7 H6", "H5 H4 H3 H2", "H1 H0"}; !slices.Equal(pages, want) {
		t.Errorf("pages %q", pages)
	}
	addEntries(t, s, 1200)
	count, times := 0, 0
	err := s.EachAuditEntry(t.Context(), store.AuditFilter{}, func(some []fleet.AuditEntry) error {
		count, times = count+len(some), times+1
		return nil
	})
	if err != nil || count != 1210 || times < 3 {
		t.Errorf("each: %d entries in %d parts, %v", count, times, err)
	}
}

func subjects(entries []fleet.AuditEntry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Subject)
	}
	return strings.Join(all, " ")
}

func testAuditSeals(t *testing.T, s *store.Store) {
	ctx := t.Context()
	addEntries(t, s, 5)
	seal := func(number int64, limit int, at time.Time) (entries []fleet.AuditEntry, made fleet.AuditSeal) {
		write(t, s, func(tx *store.Tx) (err error) {
			if entries, err = tx.CloseAudit(ctx, number, limit); err != nil || len(entries) == 0 {
				return err
			}
			made = fleet.AuditSeal{Number: number, Entries: len(entries), FirstID: entries[0].ID, LastID: entries[len(entries)-1].ID,
				Digest: []byte{0, 1}, Previous: []byte{2}, Hash: []byte{3, 255}, SealedAt: at, Signature: []byte{4}}
			return tx.AddAuditSeal(ctx, made)
		})
		return entries, made
	}
	entries, one := seal(1, 3, start.Add(time.Hour))
	if got := subjects(entries); got != "H0 H1 H2" || entries[0].Seal != 1 {
		t.Errorf("the oldest are sealed first: %s", got)
	}
	if n, err := s.CountUnsealed(ctx); err != nil || n != 2 {
		t.Errorf("unsealed = %d, %v", n, err)
	}
	entries, two := seal(2, 3, start.Add(2*time.Hour))
	if got := subjects(entries); got != "H3 H4" {
		t.Errorf("the rest: %s", got)
	}
	if entries, _ := seal(3, 3, start); len(entries) != 0 {
		t.Errorf("there was nothing left: %v", entries)
	}
	if head, err := s.AuditHead(ctx); err != nil || !reflect.DeepEqual(head, two) {
		t.Errorf("head = %+v, %v, want %+v", head, err, two)
	}
	if got, err := s.AuditSeal(ctx, 1); err != nil || !reflect.DeepEqual(got, one) {
		t.Errorf("seal = %+v, %v", got, err)
	}
	if list, err := s.AuditSeals(ctx, 0, 1); err != nil || len(list) != 1 || list[0].Number != 1 {
		t.Errorf("seals = %+v, %v", list, err)
	}
	if err := s.Write(ctx, func(tx *store.Tx) error { return tx.AddAuditSeal(ctx, two) }); err == nil {
		t.Error("two seals have one number")
	}
	drop := func(before time.Time) (dropped bool) {
		write(t, s, func(tx *store.Tx) (err error) { dropped, err = tx.DropSealed(ctx, before); return err })
		return dropped
	}
	before := start.Add(90 * time.Minute) // after the first seal
	if !drop(before) || drop(before) {
		t.Error("the first seal's entries, and only they, were old enough")
	}
	if left, _, err := s.AuditEntries(ctx, store.AuditFilter{}); err != nil || subjects(left) != "H4 H3" {
		t.Errorf("left: %s, %v", subjects(left), err)
	}
	if list, err := s.AuditSeals(ctx, 0, 9); err != nil || len(list) != 2 {
		t.Errorf("seals = %+v, %v", list, err)
	}
	if lowest, highest, err := s.SealNumbers(ctx); err != nil || lowest != 2 || highest != 2 {
		t.Errorf("numbers %d to %d, %v", lowest, highest, err)
	}
}

// testTampering does to the tables what nobody but the server should, and wants
// the check of control to find each.
func testTampering(t *testing.T, engine string) {
	sealer, err := crypto.NewSealer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	now := start
	options := control.Options{Sealer: sealer, Identity: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)), Log: slog.New(slog.DiscardHandler), Sole: true,
		Now: func() time.Time { return now }}
	for name, statements := range map[string][]string{
		"nothing":                      nil,
		"an unsealed entry is no harm": {"DELETE FROM audit WHERE seal = 0"},
		"entry removed":                {"DELETE FROM audit WHERE subject = 'H1' AND seal = 2"},
		"first entry removed":          {"DELETE FROM audit WHERE id = (SELECT min(id) FROM audit WHERE seal = 1)"},
		"all entries of a seal":        {"DELETE FROM audit WHERE seal = 2"},
		"actor changed":                {"UPDATE audit SET actor = 'bob' WHERE seal = 1 AND subject = 'H0'"},
		"detail changed":               {"UPDATE audit SET detail = '{\"n\":2}' WHERE seal = 3 AND subject = 'H2'"},
		"time changed":                 {"UPDATE audit SET at = at + 1 WHERE seal = 2 AND subject = 'H0'"},
		"address changed":              {"UPDATE audit SET address = '::1' WHERE seal = 2 AND subject = 'H0'"},
		"text moved between columns":   {"UPDATE audit SET noun = 'hos', subject = 'tH0' WHERE seal = 2 AND subject = 'H0'"},
		"id changed":                   {"UPDATE audit SET id = '00000000000000000000000000' WHERE seal = 2 AND subject = 'H0'"},
		"entry put in": {"INSERT INTO audit (id, at, actor, action, noun, subject, detail, address, seal) " +
			"SELECT '00000000000000000000000001', at, actor, action, noun, 'X', detail, address, seal FROM audit WHERE seal = 2 AND subject = 'H0'"},
		"entry taken out of its seal":     {"UPDATE audit SET seal = 0 WHERE seal = 2 AND subject = 'H0'"},
		"entry moved to another seal":     {"UPDATE audit SET seal = 3 WHERE seal = 2 AND subject = 'H0'"},
		"entry under a seal to come":      {"UPDATE audit SET seal = 99 WHERE seal = 0"},
		"entry under an impossible seal":  {"UPDATE audit SET seal = -1 WHERE seal = 0"},
		"first seal removed":              {"DELETE FROM audit_seals WHERE number = 1"},
		"seal in the middle removed":      {"DELETE FROM audit_seals WHERE number = 2"},
		"last seal removed":               {"DELETE FROM audit_seals WHERE number = 3"},
		"last seal with its entries":      {"DELETE FROM audit_seals WHERE number = 3", "DELETE FROM audit WHERE seal = 3"},
		"last seal and its entries freed": {"DELETE FROM audit_seals WHERE number = 3", "UPDATE audit SET seal = 0 WHERE seal = 3"},
		"everything":                      {"DELETE FROM audit_seals", "DELETE FROM audit"},
		"everything and the note":         {"DELETE FROM audit WHERE seal > 1", "DELETE FROM audit_seals WHERE number > 1", "DELETE FROM meta WHERE name = 'audit_head'"},
		"seals changed places":            {"UPDATE audit_seals SET number = 9 WHERE number = 1", "UPDATE audit_seals SET number = 1 WHERE number = 2", "UPDATE audit_seals SET number = 2 WHERE number = 9"},
		"count changed":                   {"DELETE FROM audit WHERE subject = 'H1' AND seal = 2", "UPDATE audit_seals SET entries = 2 WHERE number = 2"},
		"hash changed":                    {"UPDATE audit_seals SET hash = previous WHERE number = 2"},
		"digest changed":                  {"UPDATE audit_seals SET digest = hash WHERE number = 2"},
		"time of a seal changed":          {"UPDATE audit_seals SET sealed_at = 1 WHERE number = 1", "DELETE FROM audit WHERE seal = 1"},
		"signature changed":               {"UPDATE audit_seals SET signature = '' WHERE number = 3"},
		"chain rewritten without the key": {"UPDATE audit_seals SET previous = '' WHERE number = 3"},
	} {
		t.Run(name, func(t *testing.T) {
			url := filepath.Join(t.TempDir(), "audit.db")
			driver := "sqlite"
			if engine == "postgres" {
				url, driver = testkit.Postgres(t), "pgx"
			}
			s, err := store.Open(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			o := options
			o.Store = s
			c := control.New(o)
			over, stop := context.WithCancel(t.Context())
			stop()
			for range 3 {
				addEntries(t, s, 3)
				if err := c.Run(over); err != nil { // seals at its end
					t.Fatal(err)
				}
			}
			addEntries(t, s, 1)
			db, err := sql.Open(driver, url)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, statement := range statements {
				result, err := db.ExecContext(t.Context(), statement)
				if err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
				if n, err := result.RowsAffected(); err != nil || n == 0 {
					t.Fatalf("%s met %d rows, %v", statement, n, err)
				}
			}
			report, err := c.VerifyAudit(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if whole := name == "nothing" || strings.Contains(name, "no harm"); whole != (report.Break == "") {
				t.Errorf("the check says %q", report.Break)
			}
		})
	}
}
