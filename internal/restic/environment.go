package restic

import (
	"os"
	"strconv"
)

// environment is all that a restic process gets. It is built from nothing: what else the host has set,
// RESTIC_* names among it, does not reach restic.
func (r Runner) environment(call Call) []string {
	names := r.PassEnv
	if names == nil {
		names = DefaultPassEnv
	}
	env := passed(names)
	set := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	set("RESTIC_REPOSITORY", call.Repository.URL)
	set("RESTIC_PASSWORD", call.Repository.Password)
	set("RESTIC_REST_USERNAME", call.Repository.RESTUsername)
	set("RESTIC_REST_PASSWORD", call.Repository.RESTPassword)
	set("RESTIC_KEY_HINT", call.Repository.KeyHint)
	set("RESTIC_CACERT", call.Repository.CACertFile)
	set("RESTIC_CACHE_DIR", r.CacheDir)
	set("RESTIC_PROGRESS_FPS", progressPerSecond)
	set("TMPDIR", r.TempDir)
	set("TMP", r.TempDir)
	set("TEMP", r.TempDir)
	set(jobIDVariable, call.JobID)
	return env
}

// passed returns the named variables of the host that are set.
func passed(names []string) []string {
	env := make([]string, 0, len(names)+12)
	for _, name := range names {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// arguments are the global flags of one call. Nothing secret is among them: every user of the machine can
// read a process's arguments.
func (c Call) arguments() []string {
	args := []string{"--json"}
	if _, local := c.Repository.Local(); local {
		args = append(args, "--no-cache")
	}
	if c.RetryLock > 0 {
		args = append(args, "--retry-lock="+c.RetryLock.String())
	}
	if c.LimitUploadKiB > 0 {
		args = append(args, "--limit-upload="+strconv.Itoa(c.LimitUploadKiB))
	}
	if c.LimitDownloadKiB > 0 {
		args = append(args, "--limit-download="+strconv.Itoa(c.LimitDownloadKiB))
	}
	return args
}
