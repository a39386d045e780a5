package main

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxToken bounds what is read as a token, in bytes.
const maxToken = 4 << 10

// readToken takes the token from a file, the environment or standard input, but
// never from the command line, which every user of a machine can read.
func readToken(file string, stdin io.Reader) (string, error) {
	source, name := stdin, "standard input"
	if file != "" {
		opened, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("read token: %w", err)
		}
		defer func() { _ = opened.Close() }()
		source, name = opened, file
	} else if token := os.Getenv("RM_ENROLLMENT_TOKEN"); token != "" {
		return token, nil
	}
	text, err := io.ReadAll(io.LimitReader(source, maxToken))
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fmt.Errorf("no token came from %s; paste the one from the server's page \"Add host\"", name)
	}
	return token, nil
}
