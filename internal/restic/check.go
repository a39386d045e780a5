package restic

import (
	"context"
	"errors"
	"io"
	"strconv"
)

// CheckOptions is one run of "restic check".
type CheckOptions struct {
	Call
	// ReadMiB is how much of the stored data is read and proved, in packs chosen at random; 0 reads none and
	// checks the structure alone.
	ReadMiB int64
	// ReadAll reads all of it.
	ReadAll bool
}

// CheckResult is what a check found. Result.Notices has restic's words about each damage.
type CheckResult struct {
	Result
	// Summary is nil when restic ended before it had one.
	Summary *CheckSummary
}

// CheckSummary is restic's summary message.
type CheckSummary struct {
	Errors             int64    `json:"num_errors"`
	BrokenPacks        []string `json:"broken_packs"`
	SuggestRepairIndex bool     `json:"suggest_repair_index"`
	SuggestPrune       bool     `json:"suggest_prune"`
}

// Check proves a repository. It takes the exclusive lock. A damaged repository is a result with ExitFatal and
// a summary that counts errors, and no error.
func (r Runner) Check(ctx context.Context, options CheckOptions) (CheckResult, error) {
	if options.ReadMiB < 0 || options.ReadMiB > 0 && options.ReadAll {
		return CheckResult{}, &InvalidError{Field: "amount to read", Reason: "is neither all nor a number of MiB"}
	}
	var args []string
	switch {
	case options.ReadAll:
		args = append(args, "--read-data")
	case options.ReadMiB > 0:
		args = append(args, "--read-data-subset="+strconv.FormatInt(options.ReadMiB, 10)+"M")
	}
	var answer CheckResult
	var err error
	answer.Result, err = r.run(ctx, options.Call, "check", args, func(stdout io.Reader, record *record) error {
		return record.messages(stdout, checkMessages, func(decoded message) {
			if body, ok := decoded.(*CheckSummary); ok {
				answer.Summary = body
			}
		})
	})
	switch {
	case err != nil:
		return answer, err
	case answer.Exit == ExitOK && answer.Summary == nil:
		return answer, errors.New("restic check: it ended without a summary")
	case answer.Exit == ExitOK || answer.Exit == ExitFatal && answer.Summary != nil && answer.Summary.Errors > 0:
		return answer, nil
	}
	return answer, &ExitError{Operation: "check", Result: answer.Result}
}
