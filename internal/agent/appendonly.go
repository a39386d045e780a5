package agent

import (
	"context"
	"strings"
	"time"

	"github.com/restic-manager/restic-manager/internal/api"
	"github.com/restic-manager/restic-manager/internal/job"
	"github.com/restic-manager/restic-manager/internal/restic"
)

// proofsFile holds when each repository was last asked whether it is
// append-only.
const proofsFile = "append-only.json"

// proveAppendOnly learns, at most once a day and repository, whether this
// host's credential could delete, and reports it.
func (a *Agent) proveAppendOnly(access api.Access) {
	if !strings.HasPrefix(access.URL, "rest:") {
		return
	}
	a.proofs.Lock()
	defer a.proofs.Unlock()
	asked := map[job.RepositoryID]time.Time{}
	if _, err := a.state.readJSON(proofsFile, &asked); err != nil {
		a.log.Warn("when a repository was last proved append-only is not known", "error", err)
	}
	now := a.options.Now()
	if age := now.Sub(asked[access.Repository]); age >= 0 && age < a.patience.appendOnlyAge {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.patience.question)
	defer cancel()
	right, err := restic.ProveAppendOnly(ctx, repositoryOf(access))
	if right == restic.DeleteUnknown {
		a.log.Info("whether the repository is append-only could not be learnt", "repository", access.Repository, "error", err)
		return
	}
	report := api.Report{Topic: api.ReportAppendOnly, Repository: access.Repository, OK: right == restic.DeleteRefused,
		Detail: "The repository refuses to delete for this host: it is append-only."}
	if right == restic.DeleteAllowed {
		report.Detail = "The repository would have let this host delete snapshots: rest-server runs without --append-only."
	}
	a.report(report)
	asked[access.Repository] = now
	if err := a.state.writeJSON(proofsFile, asked); err != nil {
		a.log.Warn("the proof of append-only could not be noted", "error", err)
	}
}
