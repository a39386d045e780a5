package control

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"

	"github.com/restic-manager/restic-manager/internal/auth"
	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/store"
)

// audit writes who did what, in the transaction that does it. detail is encoded
// as JSON and must hold no secret; nil is nothing.
func (c *Control) audit(ctx context.Context, tx *store.Tx, who auth.Identity, action, noun, subject string, detail any) error {
	text := ""
	if detail != nil {
		raw, err := json.Marshal(detail)
		if err != nil {
			return fmt.Errorf("encode audit detail: %w", err)
		}
		text = string(raw)
	}
	return tx.Audit(ctx, fleet.AuditEntry{At: c.now(), Actor: who.Label(), Action: action, Noun: noun, Subject: subject, Detail: text, Address: who.Address})
}

// auditChange writes who changed what from before to after: only the fields that
// differ, by their names in JSON. nil before is "made", nil after is "gone".
// What is the same in both is no change and leaves no entry. Secrets belong in
// neither; a crypto.Text would say [redacted].
func (c *Control) auditChange(ctx context.Context, tx *store.Tx, who auth.Identity, action, noun, subject string, before, after any) error {
	old, err := fieldsOf(before)
	if err != nil {
		return err
	}
	fresh, err := fieldsOf(after)
	if err != nil {
		return err
	}
	if old != nil && fresh != nil {
		if old, fresh = differing(old, fresh); len(old)+len(fresh) == 0 {
			return nil
		}
	}
	return c.audit(ctx, tx, who, action, noun, subject, auditedChange{old, fresh})
}

// auditedChange is the detail of an entry about a change.
type auditedChange struct {
	Before map[string]any `json:"before,omitempty"`
	After  map[string]any `json:"after,omitempty"`
}

// fieldsOf are the fields of value as JSON has them; nil for nil.
func fieldsOf(value any) (map[string]any, error) {
	if value == nil {
		return nil, nil
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode audit detail: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		return nil, fmt.Errorf("encode audit detail of %T: %w", value, err)
	}
	return fields, nil
}

// differing keeps of both what the other has not or has otherwise, and of
// objects within them likewise.
func differing(before, after map[string]any) (old, fresh map[string]any) {
	old, fresh = map[string]any{}, map[string]any{}
	maps.Copy(old, before)
	maps.Copy(fresh, after)
	for name, was := range before {
		is, kept := after[name]
		if !kept {
			continue
		}
		a, both := was.(map[string]any)
		b, objects := is.(map[string]any)
		switch {
		case reflect.DeepEqual(was, is):
			delete(old, name)
			delete(fresh, name)
		case both && objects:
			within, since := differing(a, b)
			if old[name] = within; len(within) == 0 {
				delete(old, name)
			}
			if fresh[name] = since; len(since) == 0 {
				delete(fresh, name)
			}
		}
	}
	return old, fresh
}
