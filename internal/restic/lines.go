package restic

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Bounds of what is read and handed on.
const (
	// MaxLine is how much of one line of restic is looked at; the rest is skipped and the line counted in
	// Result.CutLines.
	MaxLine = 1 << 20
	// MaxText is how long one text in a Line, Notice or ItemError may be, in bytes.
	MaxText = 16 << 10
)

// readLines calls each for every line, without its end, until the reader ends. The slice is valid during
// the call. A line longer than MaxLine comes as its first MaxLine bytes with cut set.
func readLines(reader io.Reader, each func(line []byte, cut bool)) error {
	buffered := bufio.NewReaderSize(reader, 32<<10)
	var long []byte
	cut := false
	for {
		part, err := buffered.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || len(long) > 0 {
			room := MaxLine - len(long)
			if len(part) > room {
				cut = cut || len(bytes.TrimRight(part[room:], "\r\n")) > 0
				part = part[:room]
			}
			long = append(long, part...)
			part = long
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if line := bytes.TrimRight(part, "\r\n"); len(line) > 0 {
			each(line, cut)
		}
		long, cut = long[:0], false
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// bounded cuts a text at MaxText and says how much is missing.
func bounded(text string) string {
	if len(text) <= MaxText {
		return text
	}
	return strings.ToValidUTF8(text[:MaxText], "") + "… (" + strconv.Itoa(len(text)-MaxText) + " bytes left out)"
}
