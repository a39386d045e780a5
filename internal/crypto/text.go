package crypto

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Text is a secret. It prints, logs and encodes as [redacted]; only Reveal
// gives it away. The zero value is "no secret".
type Text struct{ value string }

// NewText wraps a secret.
func NewText(value string) Text { return Text{value: value} }

// Reveal returns the secret itself.
func (t Text) Reveal() string { return t.value }

// Empty tells whether there is no secret.
func (t Text) Empty() bool { return t.value == "" }

// String implements fmt.Stringer.
func (t Text) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (t Text) GoString() string { return redacted }

// Format implements fmt.Formatter, so that no verb reaches into the value.
func (t Text) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue implements slog.LogValuer.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler, and so JSON and YAML too.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }
