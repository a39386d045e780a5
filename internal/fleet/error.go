package fleet

import (
	"errors"
	"fmt"
)

// The meanings of errors that reach a person. Everything else is internal.
var (
	ErrNotFound  = errors.New("not found")
	ErrConflict  = errors.New("conflict")
	ErrForbidden = errors.New("forbidden")
)

// Problem is an error with a meaning and a sentence for the person who asked.
type Problem struct {
	Meaning error // ErrNotFound, ErrConflict or ErrForbidden
	// Sentence says what happened and what to do next.
	Sentence string
}

// Error implements error.
func (p *Problem) Error() string { return p.Sentence }

// Unwrap gives the meaning to errors.Is.
func (p *Problem) Unwrap() error { return p.Meaning }

// NotFound says which noun has no such id.
func NotFound(noun, id string) error {
	return &Problem{ErrNotFound, fmt.Sprintf("There is no %s %q. It may have been removed.", noun, id)}
}

// Conflict says what stands in the way.
func Conflict(format string, args ...any) error {
	return &Problem{ErrConflict, fmt.Sprintf(format, args...)}
}

// Forbidden says what is not allowed.
func Forbidden(format string, args ...any) error {
	return &Problem{ErrForbidden, fmt.Sprintf(format, args...)}
}

// FieldError is one field that is wrong.
type FieldError struct {
	Field    string // as the API spells it
	Sentence string
}

// Invalid is an error that names every field that is wrong.
type Invalid struct{ Fields []FieldError }

// Error implements error.
func (i *Invalid) Error() string {
	if len(i.Fields) == 0 {
		return "invalid"
	}
	return i.Fields[0].Field + ": " + i.Fields[0].Sentence
}

// Add notes one more wrong field.
func (i *Invalid) Add(field, format string, args ...any) {
	i.Fields = append(i.Fields, FieldError{field, fmt.Sprintf(format, args...)})
}

// Err is nil when no field is wrong.
func (i *Invalid) Err() error {
	if len(i.Fields) == 0 {
		return nil
	}
	return i
}
