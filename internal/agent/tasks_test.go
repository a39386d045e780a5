package agent

import (
	"testing"

	"github.com/restic-manager/restic-manager/internal/agent/journal"
	"github.com/restic-manager/restic-manager/internal/job"
)

func TestWhichJobsExcludeEachOther(t *testing.T) {
	backup, _ := job.InfoOf(job.Backup)
	unlock, _ := job.InfoOf(job.Unlock)
	recovered := new(journal.Unfinished)
	running := &task{info: backup, group: "g", repository: "r"}
	for name, c := range map[string]struct {
		other *task
		want  bool
	}{
		"all the same":                        {&task{info: backup, group: "g", repository: "r"}, true},
		"a group that has another repository": {&task{info: backup, group: "g", repository: "other"}, true},
		"another group of the repository":     {&task{info: backup, group: "other", repository: "r"}, true},
		"nothing the same":                    {&task{info: backup, group: "other", repository: "other"}, false},
		"no writing job":                      {&task{info: unlock, repository: "r"}, false},
		"a recovered one of the group":        {&task{info: backup, group: "g", repository: "r", earlier: recovered}, true},
		"a recovered one of another group":    {&task{info: backup, group: "other", repository: "r", earlier: recovered}, false},
	} {
		if excludes(running, c.other) != c.want || excludes(c.other, running) != c.want {
			t.Errorf("%s: not %v", name, c.want)
		}
	}
}
