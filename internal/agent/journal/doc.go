// Package journal owns the agent's durable, append-only record of what it
// accepted, did and found. It must not know what a session is, how records are
// sent or what a job does.
package journal
