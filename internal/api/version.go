package api

import "time"

// Version is the protocol version that this build speaks. Both sides use the
// smaller of the two versions; there has been no other.
//
//	1: first version.
const Version = 1

// Paths of the agent's endpoints on the server.
const (
	SessionPath  = "/agent/v1/session"  // WebSocket
	IdentityPath = "/agent/v1/identity" // GET, proves the server's key before a token is shown to it
	EnrolPath    = "/agent/v1/enrol"    // POST
)

// Limits of the link.
const (
	// MaxFrame bounds one WebSocket message, in bytes.
	MaxFrame = 1 << 20
	// MaxRecordBody bounds the body of one journal record, in bytes, so that a
	// record always fits into a frame beside its envelope.
	MaxRecordBody = 256 << 10
	// MaxBatch bounds the bodies of one records message, in bytes.
	MaxBatch = 512 << 10
	// LogBatch is how much log text is gathered before a record is written.
	LogBatch = 64 << 10
	// LogDelay is how long log text is gathered.
	LogDelay = time.Second
	// ProgressEvery bounds live progress to two messages a second.
	ProgressEvery = 500 * time.Millisecond
)
