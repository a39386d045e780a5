package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/internal/fleet"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/server/control"
)

// auditRows shows audit entries with the names of what they are about, each
// name looked up once.
func (u *UI) auditRows(ctx context.Context, entries []fleet.AuditEntry) ([]AuditRow, error) {
	names := auditNames{u: u, hosts: u.hostNames(), known: map[string]string{}}
	rows := make([]AuditRow, 0, len(entries))
	for _, entry := range entries {
		detail := auditDetail(entry.Detail)
		name, err := names.subject(ctx, entry, detail)
		if err != nil {
			return nil, err
		}
		row := AuditRow{Entry: entry, What: strings.ReplaceAll(entry.Noun, "_", " ")}
		if name != "" {
			row.What += " " + name
		} else if entry.Subject != "" {
			row.What += " " + shortID(entry.Subject)
		}
		if row.Detail, err = names.detail(ctx, detail, name); err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// auditDetail reads the detail of an entry; what is no object gives nothing.
func auditDetail(text string) map[string]any {
	var detail map[string]any
	if json.Unmarshal([]byte(text), &detail) != nil {
		return nil
	}
	return detail
}

// auditNames looks names up, each once per page.
type auditNames struct {
	u     *UI
	hosts *hostNames
	known map[string]string // by noun and id
}

// subject is the name of what an entry is about; "" when it has none. The name
// in the detail is what it had then.
func (n auditNames) subject(ctx context.Context, entry fleet.AuditEntry, detail map[string]any) (string, error) {
	if name, ok := detail["name"].(string); ok {
		return name, nil
	}
	return n.of(ctx, entry.Noun, entry.Subject)
}

func (n auditNames) of(ctx context.Context, noun, id string) (string, error) {
	key := noun + " " + id
	if name, ok := n.known[key]; ok || id == "" {
		return name, nil
	}
	name := ""
	var err error
	switch noun {
	case control.NounHost:
		name, err = n.hosts.of(ctx, job.HostID(id))
	case control.NounRepository:
		var one fleet.Repository
		one, err = n.u.Store.Repository(ctx, job.RepositoryID(id))
		name = one.Name
	case "source_group":
		var one fleet.SourceGroup
		one, err = n.u.Store.Group(ctx, job.GroupID(id))
		name = one.Name
	case "user":
		one, _, userErr := n.u.Store.User(ctx, id)
		name, err = one.Name, userErr
	}
	if err != nil && !errors.Is(err, fleet.ErrNotFound) {
		return "", err
	}
	n.known[key] = name
	return name, nil
}

// detail is an entry's detail in words, without what is said as its name.
func (n auditNames) detail(ctx context.Context, detail map[string]any, said string) (string, error) {
	keys := make([]string, 0, len(detail))
	for key := range detail {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var parts []string
	for _, key := range keys {
		value := detailText(detail[key])
		if value == "" || key == "name" && value == said {
			continue
		}
		noun, isID := strings.CutSuffix(key, "_id")
		if isID {
			if noun == "group" {
				noun = "source_group"
			}
			name, err := n.of(ctx, noun, value)
			if err != nil {
				return "", err
			}
			if value = name; name == "" {
				value = shortID(detailText(detail[key]))
			}
			key = noun
		}
		parts = append(parts, strings.ReplaceAll(key, "_", " ")+" "+value)
	}
	return strings.Join(parts, " · "), nil
}

// detailText is one value of a detail in words; "" for nothing.
func detailText(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	case bool:
		if value {
			return "yes"
		}
		return "no"
	case float64:
		return countText(int64(value))
	case []any:
		words := make([]string, len(value))
		for i, one := range value {
			words[i] = detailText(one)
		}
		return strings.Join(words, ", ")
	case map[string]any:
		var words []string
		for key, one := range value {
			if text := detailText(one); text != "" && text != "0" && text != "no" {
				words = append(words, strings.ReplaceAll(key, "_", " ")+" "+text)
			}
		}
		slices.Sort(words)
		return strings.Join(words, ", ")
	}
	return fmt.Sprint(value)
}
