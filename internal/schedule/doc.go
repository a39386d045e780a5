// Package schedule owns the arithmetic of time: when a schedule is due, which
// moments were missed and what becomes of them, when two runs overlap, how long
// to wait before something is tried again. All of it is pure, and server and
// agent call the same functions. It must not know what a job, a host or a
// repository is, nor read a clock.
package schedule
