package restic

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// The messages of restic 0.19 with --json, one struct each (inverse of its internal/ui/backup/json.go and
// cmd/restic). Fields that nobody here reads are left out.

// message is one decoded line of restic.
type message interface{ isMessage() }

// statusMessage is sent while a backup runs.
type statusMessage struct {
	SecondsElapsed   uint64   `json:"seconds_elapsed"`
	SecondsRemaining uint64   `json:"seconds_remaining"`
	PercentDone      float64  `json:"percent_done"` // 0 to 1
	TotalFiles       uint64   `json:"total_files"`
	FilesDone        uint64   `json:"files_done"`
	TotalBytes       uint64   `json:"total_bytes"`
	BytesDone        uint64   `json:"bytes_done"`
	ErrorCount       uint64   `json:"error_count"`
	CurrentFiles     []string `json:"current_files"`
}

// errorMessage names an item that could not be read, or says what check has found.
type errorMessage struct {
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
	During string `json:"during"`
	Item   string `json:"item"`
	// Message is what check says instead of all others.
	Message string `json:"message"`
}

// exitErrorMessage is the last line on stderr of a restic that fails.
type exitErrorMessage struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// initializedMessage is the answer of init.
type initializedMessage struct {
	ID string `json:"id"`
}

// versionMessage is the answer of version.
type versionMessage struct {
	Version string `json:"version"`
}

// ignoredMessage is one of a type that nobody here reads (verbose_status, or one of a later restic).
type ignoredMessage struct{}

func (*statusMessage) isMessage()      {}
func (*errorMessage) isMessage()       {}
func (*exitErrorMessage) isMessage()   {}
func (*initializedMessage) isMessage() {}
func (*ignoredMessage) isMessage()     {}
func (*BackupSummary) isMessage()      {}
func (*CheckSummary) isMessage()       {}
func (*Change) isMessage()             {}
func (*DiffSummary) isMessage()        {}
func (*Node) isMessage()               {}

// vocabulary names the types of message that one stream of one command carries.
type vocabulary map[string]func() message

var backupMessages = vocabulary{
	"status":  func() message { return new(statusMessage) },
	"summary": func() message { return new(BackupSummary) },
}

var initMessages = vocabulary{"initialized": func() message { return new(initializedMessage) }}

var checkMessages = vocabulary{"summary": func() message { return new(CheckSummary) }}

var diffMessages = vocabulary{
	"change":     func() message { return new(Change) },
	"statistics": func() message { return new(DiffSummary) },
}

var lsMessages = vocabulary{
	"snapshot": func() message { return new(ignoredMessage) },
	"node":     func() message { return new(Node) },
}

var stderrMessages = vocabulary{
	"error":      func() message { return new(errorMessage) },
	"exit_error": func() message { return new(exitErrorMessage) },
}

// decodeStderr decodes one line of stderr; an error means that it is plain text.
func decodeStderr(line []byte) (message, error) { return decodeMessage(line, stderrMessages) }

func decodeMessage(line []byte, known vocabulary) (message, error) {
	if !bytes.HasPrefix(line, []byte("{")) {
		return nil, fmt.Errorf("decode a line of restic: it is not a message")
	}
	var head struct {
		MessageType string `json:"message_type"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("decode a line of restic: %w", err)
	}
	if head.MessageType == "" {
		return nil, fmt.Errorf("decode a line of restic: it has no message type")
	}
	create, ok := known[head.MessageType]
	if !ok {
		return new(ignoredMessage), nil
	}
	body := create()
	if err := json.Unmarshal(line, body); err != nil {
		return nil, fmt.Errorf("decode restic's %s message: %w", head.MessageType, err)
	}
	return body, nil
}
