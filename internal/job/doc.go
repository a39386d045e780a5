// Package job owns what one operation on one host is: its kinds and their
// specs, its derived id, its states and the legal moves between them, what a
// restarted agent does with it, and what it yields. It must not know who stores
// it, who sends it or how restic is run, so that server and agent can share it.
package job
