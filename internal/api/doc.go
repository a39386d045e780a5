// Package api owns the link between agent and server: the envelope, every
// message with its direction, the protocol version and the proofs of identity.
// State goes down, a log comes up; there is no third mechanism. It must not
// know how either side stores or acts on what is said.
package api
