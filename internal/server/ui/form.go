package ui

import (
	"errors"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

// FieldErrors are what is wrong with a form, kept beside its fields.
type FieldErrors []fleet.FieldError

// fieldErrors takes the fields out of err, when it is about fields.
func fieldErrors(err error) (FieldErrors, bool) {
	var invalid *fleet.Invalid
	if errors.As(err, &invalid) {
		return invalid.Fields, true
	}
	return nil, false
}

// For gives what is wrong with one field; "" is nothing.
func (e FieldErrors) For(field string) string {
	for _, one := range e {
		if one.Field == field {
			return one.Sentence
		}
	}
	return ""
}

// Field is one labelled input of a form.
type Field struct {
	Name  string
	Label string
	Value string
	Help  string
	Error string
	Type  string // of the input; "" is text
}

// newField gathers what the partials "input" and "lines-input" need.
func newField(name, label, value, help string, wrong FieldErrors) Field {
	return Field{Name: name, Label: label, Value: value, Help: help, Error: wrong.For(name)}
}

// Secret hides what is typed.
func (f Field) Secret() Field {
	f.Type = "password"
	return f
}
