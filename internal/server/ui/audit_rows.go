package ui

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// auditRows shows audit entries with the names of what they are about.
func (u *UI) auditRows(ctx context.Context, entries []fleet.AuditEntry) ([]AuditRow, error) {
	names := auditNames{u: u, known: map[string]thing{}}
	rows := make([]AuditRow, 0, len(entries))
	for _, entry := range entries {
		row, err := names.row(ctx, entry)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func (n auditNames) row(ctx context.Context, entry fleet.AuditEntry) (AuditRow, error) {
	row := AuditRow{Entry: entry, Did: auditWords(entry.Action)}
	var detail map[string]any
	if json.Unmarshal([]byte(entry.Detail), &detail) != nil {
		detail = nil // what is no object says nothing
	}
	before, changed := detail["before"].(map[string]any)
	after, made := detail["after"].(map[string]any)
	about, err := n.of(ctx, entry.Noun, entry.Subject)
	if err != nil {
		return row, err
	}
	row.Link = about.Link
	// What it was called then comes before what it is called now.
	for _, said := range []any{detail["name"], after["name"], before["name"], about.Name} {
		if name, ok := said.(string); ok && name != "" && row.Name == "" {
			row.Name = name
		}
	}
	if row.Name == "" && entry.Subject != "" {
		row.Name = shortID(entry.Subject)
	}
	delete(detail, "before")
	delete(detail, "after")
	if changed && made {
		if row.Changes, err = n.changes(ctx, "", before, after); err != nil {
			return row, err
		}
	} else {
		maps.Copy(detail, before)
		maps.Copy(detail, after)
	}
	if detail["name"] == row.Name {
		delete(detail, "name")
	}
	row.Detail, err = n.words(ctx, "", detail)
	return row, err
}

// auditWords is an action, such as source_group.changed, in words.
func auditWords(action string) string {
	return strings.NewReplacer(".", " ", "_", " ").Replace(action)
}

// changes lines up what was and what is, field by field. Of is what begins the
// names of the fields: the object that they are in.
func (n auditNames) changes(ctx context.Context, of string, before, after map[string]any) ([]AuditChange, error) {
	fields := map[string]bool{}
	for field := range before {
		fields[field] = true
	}
	for field := range after {
		fields[field] = true
	}
	var changes []AuditChange
	for _, field := range slices.Sorted(maps.Keys(fields)) {
		was, is := before[field], after[field]
		inner, ok := was.(map[string]any)
		within, too := is.(map[string]any)
		if (ok || was == nil) && (too || is == nil) && (ok || too) {
			more, err := n.changes(ctx, of+parentWords(field), inner, within)
			if err != nil {
				return nil, err
			}
			changes = append(changes, more...)
			continue
		}
		was, is = onlyDifferent(was, is)
		change := AuditChange{Field: of + fieldWords(field)}
		var err error
		if change.Before, err = n.value(ctx, field, was); err != nil {
			return nil, err
		}
		if change.After, err = n.value(ctx, field, is); err != nil {
			return nil, err
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// onlyDifferent takes out of two lists what both have, unless that leaves
// nothing: then their order is what changed.
func onlyDifferent(was, is any) (any, any) {
	old, ok := was.([]any)
	fresh, too := is.([]any)
	if !ok || !too {
		return was, is
	}
	without := func(list, other []any) []any {
		return slices.DeleteFunc(slices.Clone(list), func(one any) bool {
			return slices.ContainsFunc(other, func(two any) bool { return fmt.Sprint(one) == fmt.Sprint(two) })
		})
	}
	gone, come := without(old, fresh), without(fresh, old)
	if len(gone)+len(come) == 0 {
		return was, is
	}
	return gone, come
}

// fieldWords is the name of a field without what only programs need.
func fieldWords(field string) string {
	if field == "group_id" {
		return "source group"
	}
	field = strings.TrimSuffix(strings.TrimSuffix(field, "_id"), "_at")
	if stem, ok := strings.CutSuffix(field, "_ids"); ok {
		field = stem + "s"
	}
	return strings.NewReplacer("_kib", " KiB", "_", " ").Replace(field)
}

// parentWords begin the names of the fields of a nested object; "" where the
// fields say by themselves what they are.
func parentWords(field string) string {
	if field == "options" || field == "retention" {
		return ""
	}
	return fieldWords(field) + " "
}

// words is a detail in one line, without what is nothing. Of is as for changes.
func (n auditNames) words(ctx context.Context, of string, detail map[string]any) (string, error) {
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(detail)) {
		value := detail[field]
		if inner, ok := value.(map[string]any); ok {
			text, err := n.words(ctx, of+parentWords(field), inner)
			if err != nil {
				return "", err
			}
			if text != "" {
				parts = append(parts, text)
			}
			continue
		}
		text, err := n.value(ctx, field, value)
		if err != nil {
			return "", err
		}
		if text != "" && text != "0" && text != "no" {
			parts = append(parts, of+fieldWords(field)+" "+text)
		}
	}
	return strings.Join(parts, " · "), nil
}

// shownOfList is how many elements of a list are shown, and shownOfText how many
// characters of a text; the API and the CSV have all.
const (
	shownOfList = 6
	shownOfText = 240
)

// value is one value in words, ids as names; "" for nothing.
func (n auditNames) value(ctx context.Context, field string, value any) (string, error) {
	switch value := value.(type) {
	case nil:
		return "", nil
	case string:
		return n.text(ctx, field, value)
	case bool:
		if value {
			return "yes", nil
		}
		return "no", nil
	case float64:
		return countText(int64(value)), nil
	case []any:
		var words []string
		for _, one := range value[:min(len(value), shownOfList)] {
			word, err := n.value(ctx, strings.TrimSuffix(field, "s"), one)
			if err != nil {
				return "", err
			}
			words = append(words, word)
		}
		if more := len(value) - shownOfList; more > 0 {
			words = append(words, "and "+countText(int64(more))+" more")
		}
		return strings.Join(words, ", "), nil
	case map[string]any:
		return n.words(ctx, "", value)
	}
	return fmt.Sprint(value), nil
}

func (n auditNames) text(ctx context.Context, field, text string) (string, error) {
	if noun, ok := strings.CutSuffix(field, "_id"); ok && text != "" {
		found, err := n.of(ctx, noun, text)
		if found.Name == "" {
			found.Name = shortID(text)
		}
		return found.Name, err
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at.UTC().Format("2006-01-02 15:04 UTC"), nil
	}
	if letters := []rune(text); len(letters) > shownOfText {
		return string(letters[:shownOfText]) + "…", nil
	}
	return text, nil
}
