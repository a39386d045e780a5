// Package fleet owns the vocabulary of the control plane: hosts, repositories,
// source groups, jobs as rows, snapshots, alerts, audit entries, and the four
// meanings an error can have. It must not know how any of them is stored,
// shown or sent.
package fleet
