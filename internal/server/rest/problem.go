package rest

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Problem is every error of the API, as RFC 9457 has it.
type Problem struct {
	Type   string         `json:"type" doc:"Always about:blank."`
	Title  string         `json:"title" doc:"What the status means."`
	Status int            `json:"status"`
	Detail string         `json:"detail" doc:"What happened and what to do, in one sentence."`
	Errors []FieldProblem `json:"errors,omitempty" nullable:"false" doc:"What is wrong with which field."`
	// Incident names the line in the server's log.
	Incident string `json:"incident,omitempty" doc:"Find this in the server's log."`

	headers http.Header
}

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func newProblem(status int, sentence string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: sentence, headers: http.Header{}}
}

// problem turns an error of control or store into what the asker is told.
func (a *API) problem(ctx context.Context, err error) *Problem {
	if made, ok := errors.AsType[*Problem](err); ok {
		return made
	}
	answer := a.Control.Explain(ctx, err)
	p := newProblem(answer.Status, answer.Sentence)
	p.Incident = answer.Incident
	for _, field := range answer.Fields {
		p.Errors = append(p.Errors, FieldProblem{field.Field, field.Sentence})
	}
	if answer.RetryAfter > 0 {
		p.headers.Set("Retry-After", strconv.Itoa(int(math.Ceil(answer.RetryAfter.Seconds()))))
	}
	if p.Status == http.StatusUnauthorized {
		p.headers.Set("WWW-Authenticate", `Bearer realm="restic-manager"`)
	}
	return p
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// write answers with p where huma does not.
func (a *API) write(w http.ResponseWriter, p *Problem) {
	for name, values := range p.headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a reader that went away is no error of ours
}

// missingProperty is how huma says that a field was left out, which it reports
// of the whole body.
var missingProperty = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// asProblem gives huma's own errors, which are about what was sent, the same
// form. The values in them stay out: they may be secrets.
func asProblem(_ huma.Context, _ string, value any) (any, error) {
	model, ok := value.(*huma.ErrorModel)
	if !ok {
		return value, nil
	}
	p := newProblem(model.Status, "What was sent can't be read. The errors name what is wrong.")
	switch model.Status {
	case http.StatusUnprocessableEntity:
		p.Detail = "Some of this is not right."
	case http.StatusRequestEntityTooLarge:
		p.Detail = "What was sent is too large."
	case http.StatusUnsupportedMediaType:
		p.Detail = "Send JSON, with Content-Type: application/json."
		return p, nil
	}
	for _, detail := range model.Errors {
		_, field, found := strings.Cut(detail.Location, ".")
		if !found {
			field = detail.Location
		}
		message := detail.Message
		if missing := missingProperty.FindStringSubmatch(message); missing != nil {
			field, message = missing[1], "is missing"
		}
		p.Errors = append(p.Errors, FieldProblem{field, message})
	}
	if len(p.Errors) == 0 {
		p.Detail = model.Detail + "."
	}
	return p, nil
}
