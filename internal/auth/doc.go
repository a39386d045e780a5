// Package auth owns who may do what: users, roles, permissions, sessions, API
// tokens, how passwords are checked and hashed, and how guessing is slowed down.
// It must not know hosts, jobs, HTTP or how anything is stored.
package auth
