package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
)

// queryer is what reads, inside a transaction or outside.
type queryer interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
	QueryRowContext(context.Context, string, ...any) *sql.Row
}

// reader holds every reading method; Store and Tx share it.
type reader struct{ q queryer }

// instant is a time in the database: milliseconds since 1970, UTC; 0 is the
// zero time.
type instant struct{ t *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(value any) error {
	ms, ok := value.(int64)
	if !ok {
		return fmt.Errorf("read instant: %T is not a number", value)
	}
	*i.t = fromMillis(ms)
	return nil
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// millis is a time as it is stored.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// encoded is a value stored as JSON text; "" reads as nothing.
type encoded struct{ into any }

// Scan implements sql.Scanner.
func (e encoded) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("read JSON: %T is not text", value)
	}
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), e.into)
}

// encode is the JSON text of value.
func encode(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", value, err)) // only types that can't be encoded at all
	}
	return string(raw)
}

// binary is a byte string stored as base64 text.
type binary struct{ into *[]byte }

// Scan implements sql.Scanner.
func (b binary) Scan(value any) (err error) {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("read bytes: %T is not text", value)
	}
	*b.into, err = base64.StdEncoding.DecodeString(text)
	return err
}

func encodeBytes(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

// plain makes text from outside storable in both engines: PostgreSQL refuses
// NUL and what is not UTF-8.
func plain(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

// collect reads all rows of a query through scan.
func collect[T any](ctx context.Context, q queryer, scan func(scanner) (T, error), query string, args ...any) (items []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		item, err := scan(rows)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, rows.Err()
}

// where gathers conditions and their arguments for one query.
type where struct {
	conditions []string
	args       []any
}

// add notes a condition in which ? stands for each of args in turn.
func (w *where) add(condition string, args ...any) {
	var text strings.Builder
	for _, r := range condition {
		if r == '?' {
			w.args = append(w.args, args[0])
			args = args[1:]
			fmt.Fprintf(&text, "$%d", len(w.args))
			continue
		}
		text.WriteRune(r)
	}
	w.conditions = append(w.conditions, text.String())
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// limit is the text of LIMIT with its argument.
func (w *where) limit(n int) string {
	w.args = append(w.args, n)
	return fmt.Sprintf(" LIMIT $%d", len(w.args))
}

// cut drops the row beyond the page, which a query asked for to know whether
// there is more, and returns the cursor of the next page or "".
func cut[T any](items []T, size int, key func(T) string) ([]T, string) {
	if len(items) <= size {
		return items, ""
	}
	items = items[:size]
	return items, base64.RawURLEncoding.EncodeToString([]byte(key(items[size-1])))
}

// after reads a cursor that cut made; "" is the first page.
func after(cursor string) (string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return "", errCursor
	}
	return string(raw), nil
}

// afterID reads a cursor whose key is an id.
func afterID(cursor string) (string, error) {
	id, err := after(cursor)
	if err != nil || !job.ValidID(id) {
		return "", errCursor
	}
	return id, nil
}

// newestFirst reads one page of a list whose order is that of its ids, newest
// first, and the cursor of the next page.
func newestFirst[T any](ctx context.Context, q queryer, w where, page fleet.Page, query string, scan func(scanner) (T, error), id func(T) string) ([]T, string, error) {
	if page.Cursor != "" {
		last, err := afterID(page.Cursor)
		if err != nil {
			return nil, "", err
		}
		w.add("id < ?", last)
	}
	items, err := collect(ctx, q, scan, query+w.String()+" ORDER BY id DESC"+w.limit(page.Size()+1), w.args...)
	if err != nil {
		return nil, "", err
	}
	items, next := cut(items, page.Size(), id)
	return items, next, nil
}

// contains is the pattern that finds text anywhere, for LIKE … ESCAPE '!'.
func contains(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}
