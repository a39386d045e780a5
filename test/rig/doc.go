// Package rig owns a fleet of the real programs for tests of the whole product:
// it builds them once, starts server, storage box and endpoints as processes,
// speaks the API, and ends everything it started. It must not know what any
// test wants to prove.
package rig
