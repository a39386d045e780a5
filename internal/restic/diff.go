package restic

import (
	"context"
	"errors"
	"io"
)

// DiffOptions names two snapshots.
type DiffOptions struct {
	Call
	// From and To are whole ids.
	From, To string
	// Changed gets each difference, in the order of the paths. What it keeps is its own affair: there may be
	// millions.
	Changed func(Change)
}

// Change is one difference between two snapshots. Modifier is "+" for added, "-" for removed, "M" for another
// content, "T" for another kind, "U" for another mode or time alone, and "?" for bit rot: the same size and
// times, and yet another content.
type Change struct {
	Path     string `json:"path"`
	Modifier string `json:"modifier"`
}

// DiffResult is the answer of Diff.
type DiffResult struct {
	Result
	Summary DiffSummary
}

// DiffSummary is restic's statistics message.
type DiffSummary struct {
	From         string     `json:"source_snapshot"`
	To           string     `json:"target_snapshot"`
	ChangedFiles uint64     `json:"changed_files"`
	Added        DiffCounts `json:"added"`
	Removed      DiffCounts `json:"removed"`
}

// DiffCounts is what only one of the two has. Bytes are those of its blobs, before compression.
type DiffCounts struct {
	Files  uint64 `json:"files"`
	Dirs   uint64 `json:"dirs"`
	Others uint64 `json:"others"`
	Bytes  uint64 `json:"bytes"`
}

// Diff compares two snapshots, their files' modes and times included.
func (r Runner) Diff(ctx context.Context, options DiffOptions) (DiffResult, error) {
	if !isID(options.From) || !isID(options.To) {
		return DiffResult{}, &InvalidError{Field: "snapshot id", Reason: "is not 64 hexadecimal digits"}
	}
	var answer DiffResult
	var err error
	answer.Result, err = r.query(ctx, options.Call, "diff", []string{"--metadata", options.From, options.To},
		func(stdout io.Reader, record *record) error {
			counted := false
			err := record.messages(stdout, diffMessages, func(decoded message) {
				switch body := decoded.(type) {
				case *Change:
					if options.Changed != nil {
						options.Changed(*body)
					}
				case *DiffSummary:
					answer.Summary, counted = *body, true
				}
			})
			if err == nil && !counted {
				err = errors.New("it ended without its statistics")
			}
			return err
		})
	return answer, err
}
