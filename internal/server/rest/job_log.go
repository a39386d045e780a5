package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/restic-manager/restic-manager/internal/job"
)

const ndjson = "application/x-ndjson"

// logPiece is how much of a log is held in memory at once, in bytes.
const logPiece = 256 << 10

type logInput struct {
	ByID
	From   int64  `query:"from" minimum:"0" doc:"Number of the first line wanted; the first of a log is 0."`
	Format string `query:"format" enum:"text,ndjson" doc:"Goes before the Accept header; text without either."`
	Accept string `header:"Accept"`
}

// LogLine is one line of a log as ndjson.
type LogLine struct {
	Line  int64        `json:"line"`
	At    time.Time    `json:"at"`
	Level job.LogLevel `json:"level"`
	Text  string       `json:"text"`
}

// jobLog writes a log piece by piece; of a job that runs, what there is by now.
func (a *API) jobLog(ctx context.Context, in *logInput) (*huma.StreamResponse, error) {
	id := job.ID(in.ID)
	if _, err := a.Store.Job(ctx, id); err != nil {
		return nil, err
	}
	contentType, show := "text/plain; charset=utf-8", textLine
	if in.Format == "ndjson" || in.Format == "" && strings.Contains(in.Accept, ndjson) {
		contentType, show = ndjson, jsonLine
	}
	lines, next, err := a.Store.Log(ctx, id, in.From, logPiece)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		r, w := humago.Unwrap(hctx)
		w.Header().Set("Content-Type", contentType)
		if r.Method == http.MethodHead {
			return
		}
		out := http.NewResponseController(w)
		for from := in.From; len(lines) > 0; {
			var piece bytes.Buffer
			for _, line := range lines {
				show(&piece, from, line)
				from++
			}
			if err := writePiece(w, out, piece.Bytes()); err != nil {
				return // the reader has gone
			}
			if lines, next, err = a.Store.Log(r.Context(), id, next, logPiece); err != nil {
				a.Log.ErrorContext(r.Context(), "log broken off", "job", id, "error", err)
				panic(http.ErrAbortHandler) // so that the reader sees it is not whole
			}
		}
	}}, nil
}

func textLine(into *bytes.Buffer, _ int64, line job.LogLine) {
	into.WriteString(line.Plain() + "\n")
}

func jsonLine(into *bytes.Buffer, number int64, line job.LogLine) {
	// Fields that are text and numbers can't fail to encode.
	_ = json.NewEncoder(into).Encode(LogLine{number, lineTime(line), line.Level, line.Text})
}

func lineTime(line job.LogLine) time.Time { return time.UnixMilli(line.At).UTC() }

// writePiece sends bytes on at once.
func writePiece(w http.ResponseWriter, out *http.ResponseController, piece []byte) error {
	if _, err := w.Write(piece); err != nil {
		return err
	}
	return out.Flush()
}
