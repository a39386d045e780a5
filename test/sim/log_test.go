package sim

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
)

// keptLog is what server, agents and the world log. It is kept, so that whoever
// reads a failure need not bring it about again: not everything in the programs
// draws from a seed.
type keptLog struct {
	mutex sync.Mutex
	heard func(line []byte)
	text  []byte
	echo  bool // prints it at once
}

// Write implements io.Writer.
func (l *keptLog) Write(line []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.text = append(l.text, line...)
	l.heard(line)
	if l.echo {
		_, _ = os.Stderr.Write(line)
	}
	return len(line), nil
}

// save writes it to a file and returns where that is.
func (l *keptLog) save(seed uint64) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	file, err := os.CreateTemp("", fmt.Sprintf("sim-seed-%d-*.log", seed))
	if err != nil {
		return err.Error()
	}
	_, err = file.Write(l.text)
	if closed := file.Close(); err != nil || closed != nil {
		return fmt.Sprint(err, closed)
	}
	return file.Name()
}

// logger writes what one of the world's programs says of itself.
func (w *world) logger(who string) *slog.Logger {
	return slog.New(slog.NewTextHandler(io.Writer(&w.log), nil)).With("at", who)
}
