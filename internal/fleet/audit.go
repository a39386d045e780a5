package fleet

import (
	"strconv"
	"strings"
	"time"
)

// AuditEntry is one line of the append-only audit table.
type AuditEntry struct {
	ID      string // grows with time
	At      time.Time
	Actor   string // a user's name, "token NAME", "agent HOST" or "server"
	Action  string // noun.verb, such as "job.created"
	Noun    string
	Subject string // the id of that noun
	// Detail is JSON; it never holds a secret. A change has "before" and "after",
	// with the fields that differ.
	Detail  string
	Address string // of the peer, "" for the server's own
	Seal    int64  // number of its seal; 0 is "not sealed yet"
}

// AuditSeal closes a batch of audit entries: from then on none of them can be
// changed, added or taken away without a trace. Each names the hash of the one
// before, so that together they are a chain.
type AuditSeal struct {
	Number   int64 // counts from 1, without a gap
	Entries  int
	FirstID  string // of its entries, in the order of their ids
	LastID   string
	Digest   []byte // over its entries
	Previous []byte // hash of the seal before; none for the first
	Hash     []byte // over everything above and SealedAt
	SealedAt time.Time
	// Signature is the server's, over Hash.
	Signature []byte
}

// AuditColumns name the cells of an entry in a table for other programs.
var AuditColumns = []string{"time", "actor", "action", "noun", "subject", "detail", "address", "id", "seal"}

// Cells are the entry under AuditColumns: the time in UTC, and no cell that a
// spreadsheet would take for a formula.
func (e AuditEntry) Cells() []string {
	cells := []string{e.At.UTC().Format("2006-01-02T15:04:05.000Z"), e.Actor, e.Action, e.Noun, e.Subject, e.Detail, e.Address, e.ID, strconv.FormatInt(e.Seal, 10)}
	for i, cell := range cells {
		// A spreadsheet skips the white space in front.
		if strings.IndexAny(strings.TrimLeft(cell, " \t\r\n"), "=+-@") == 0 {
			cells[i] = "'" + cell
		}
	}
	return cells
}
