package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/restic-manager/restic-manager/internal/job"
)

// Direction says who sends a message.
type Direction string

// Directions.
const (
	Down Direction = "server to agent"
	Up   Direction = "agent to server"
	Both Direction = "either"
)

// MessageInfo describes one message of the session.
type MessageInfo struct {
	Name      string
	Direction Direction
	Since     int
	Sentence  string
	make      func() any
}

// Catalogue is the one list of session messages.
var Catalogue = []MessageInfo{
	{"challenge", Down, 1, "Opens a session with the server's key and a nonce.", func() any { return new(Challenge) }},
	{"hello", Up, 1, "Proves the agent's key and says what its journal holds.", func() any { return new(Hello) }},
	{"welcome", Down, 1, "Proves the server's key and says what it has of the journal.", func() any { return new(Welcome) }},
	{"plan", Down, 1, "All that the host should know when the server is away.", func() any { return new(Plan) }},
	{"job", Down, 1, "A job that should run; repeated until the agent's journal speaks of it.", func() any { return new(Job) }},
	{"cancel", Down, 1, "A job that should not run, or not any longer.", func() any { return new(Cancel) }},
	{"gone", Down, 1, "This host was removed; signed.", func() any { return new(Gone) }},
	{"ack", Down, 1, "Records up to the cursor are durable.", func() any { return new(Ack) }},
	{"records", Up, 1, "Journal records in order.", func() any { return new(Records) }},
	{"progress", Up, 1, "Live state of a running job, overwritten by the next.", func() any { return new(job.Progress) }},
	{"refused", Up, 1, "A job that the agent can't take now.", func() any { return new(Refused) }},
	{"answer", Up, 1, "The result of a look.", func() any { return new(Answer) }},
	{"unsupported", Both, 1, "A message of this type is not known here.", func() any { return new(Unsupported) }},
}

type envelope struct {
	Type string          `json:"type"`
	Body json.RawMessage `json:"body"`
}

// ErrUnsupported is returned by Decode for a type that is not in the catalogue.
// The receiver answers it with Unsupported and goes on.
var ErrUnsupported = errors.New("message type is not known")

// ErrDirection is returned by Decode for a message that the other side may not send.
var ErrDirection = errors.New("message came from the wrong side")

// Encode wraps body, a pointer to a type of the catalogue, for the wire.
func Encode(body any) ([]byte, error) {
	name, err := nameOf(body)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	frame, err := json.Marshal(envelope{Type: name, Body: raw})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	if len(frame) > MaxFrame {
		return nil, fmt.Errorf("encode %s: frame of %d bytes is more than %d", name, len(frame), MaxFrame)
	}
	return frame, nil
}

// Decode reads one frame that travelled in direction and returns a pointer to
// its typed body. With ErrUnsupported the type's name is in the error's text
// and returned as an *Unsupported to answer with.
func Decode(frame []byte, direction Direction) (any, error) {
	var env envelope
	if err := json.Unmarshal(frame, &env); err != nil {
		return nil, fmt.Errorf("decode frame: %w", err)
	}
	for _, info := range Catalogue {
		if info.Name != env.Type {
			continue
		}
		if info.Direction != Both && info.Direction != direction {
			return nil, fmt.Errorf("decode %s: %w", info.Name, ErrDirection)
		}
		body := info.make()
		if err := json.Unmarshal(env.Body, body); err != nil {
			return nil, fmt.Errorf("decode %s: %w", info.Name, err)
		}
		return body, nil
	}
	name := env.Type
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "")
	}
	return &Unsupported{Type: name}, fmt.Errorf("decode %q: %w", name, ErrUnsupported)
}

// nameOf finds the message that body is a pointer to.
func nameOf(body any) (string, error) {
	if name, ok := names[reflect.TypeOf(body)]; ok {
		return name, nil
	}
	return "", fmt.Errorf("encode %T: not in the catalogue", body)
}

var names = func() map[reflect.Type]string {
	names := map[reflect.Type]string{}
	for _, info := range Catalogue {
		names[reflect.TypeOf(info.make())] = info.Name
	}
	return names
}()
