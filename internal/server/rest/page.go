package rest

import (
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

var problemType = reflect.TypeFor[Problem]()

// Paged is what every list takes. It has to be exported for huma to see it where
// it is embedded.
type Paged struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"How many at most."`
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
}

func (p Paged) page() fleet.Page { return fleet.Page{Limit: p.Limit, Cursor: p.Cursor} }

// ByID names one thing. It is exported for the same reason.
type ByID struct {
	ID string `path:"id" maxLength:"64"`
}

// nothing is the answer without content.
type nothing struct{}

// only is the answer that is one thing.
type only[T any] struct{ Body T }

// list is the answer that is a page of things.
type list[T any] struct {
	Body struct {
		Items      []T     `json:"items" nullable:"false"`
		NextCursor *string `json:"next_cursor" doc:"Null on the last page."`
	}
}

// listOf shows a page of things.
func listOf[T, V any](items []T, next string, show func(T) V) *list[V] {
	out := &list[V]{}
	out.Body.Items = make([]V, 0, len(items))
	for _, item := range items {
		out.Body.Items = append(out.Body.Items, show(item))
	}
	if next != "" {
		out.Body.NextCursor = &next
	}
	return out
}

// orNull says in the description that fields which are objects may be null.
func orNull(s *huma.Schema, fields ...string) *huma.Schema {
	for _, field := range fields {
		s.Properties[field] = &huma.Schema{OneOf: []*huma.Schema{s.Properties[field], {Type: "null"}}}
	}
	return s
}

// mayBeNull lets fields that are objects be null in what is sent, where huma
// knows no null beside another form.
func mayBeNull(r huma.Registry, s *huma.Schema, fields ...string) *huma.Schema {
	for _, field := range fields {
		whole := *r.SchemaFromRef(s.Properties[field].Ref)
		whole.Nullable = true
		whole.Description = s.Properties[field].Description
		s.Properties[field] = &whole
	}
	return s
}

// at is a time as the API shows it: UTC, to the millisecond, null for not yet.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}

// orEmpty keeps null out of arrays.
func orEmpty[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
