package ui

import (
	"errors"
	"fmt"

	"github.com/restic-manager/restic-manager/internal/auth"
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

// For gives all that is wrong with one field.
func (e FieldErrors) For(field string) []string {
	var sentences []string
	for _, one := range e {
		if one.Field == field {
			sentences = append(sentences, one.Sentence)
		}
	}
	return sentences
}

// Fields counts the fields with anything wrong.
func (e FieldErrors) Fields() int {
	fields := map[string]bool{}
	for _, one := range e {
		fields[one.Field] = true
	}
	return len(fields)
}

// Field is one labelled input of a form.
type Field struct {
	Name   string
	Label  string
	Value  string
	Help   string
	Errors []string
	Type   string // of the input; "" is text
}

// newField gathers what the partials "input" and "lines-input" need.
func newField(name, label, value, help string, wrong FieldErrors) Field {
	return Field{Name: name, Label: label, Value: value, Help: help, Errors: wrong.For(name)}
}

// Secret hides what is typed.
func (f Field) Secret() Field {
	f.Type = "password"
	return f
}

// passwordRule is what the hint of a new password says.
func passwordRule() string {
	return fmt.Sprintf("At least %d characters", auth.MinPasswordCharacters)
}
