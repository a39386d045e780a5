package store

import "github.com/restic-manager/restic-manager/internal/fleet"

var errCursor = &fleet.Invalid{Fields: []fleet.FieldError{{Field: "cursor", Sentence: "This cursor is not one that a list gave out; begin again without it."}}}
