// Package restic owns the running of the real restic binary: which version is good enough, what its
// environment and arguments are, what its messages and exit codes mean, and how its process is stopped,
// killed and found again. Nothing else in this project starts restic. What runs beside restic for the same job
// is started and ended here too, since it is found by the same mark; and what restic would save is known here.
//
// It hands back raw facts. It must not know what a job, a host or a source group is, nor decide whether a
// backup succeeded: that verdict is its caller's, who has more evidence than an exit code.
package restic
