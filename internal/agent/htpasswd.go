package agent

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// probePrefix begins the names of the throw-away users that prove a reload.
// Real users can't have it: their names come with an id.
const probePrefix = "rm-probe-"

// badLineError names a line of htpasswd that rest-server would stumble over. It
// never quotes it.
type badLineError struct {
	Line    int // 1 is the first
	Problem string
}

func (e *badLineError) Error() string {
	return fmt.Sprintf("line %d of the file of users %s", e.Line, e.Problem)
}

// userLine is one line of htpasswd; its hash is no secret that opens anything,
// and still is not shown.
type userLine struct{ Name, Hash string }

func (u userLine) String() string { return u.Name + ":" + u.Hash }

// editUsers returns the file with exactly one line for each user of set and
// none for the names of remove; all other lines stay byte for byte. A file with
// a line that rest-server would not read is refused, since one such line locks
// every user out.
func editUsers(content []byte, set []userLine, remove []string) ([]byte, error) {
	if _, err := userNames(content); err != nil {
		return nil, err
	}
	for _, user := range set {
		if name, problem := readUser([]byte(user.String())); problem != "" || name != user.Name {
			return nil, fmt.Errorf("the new line for a user %s", problem)
		}
	}
	var out bytes.Buffer
	written := map[string]bool{}
	for line := range bytes.Lines(content) {
		name, _ := readUser(line)
		if name != "" && slices.Contains(remove, name) {
			continue
		}
		at := slices.IndexFunc(set, func(u userLine) bool { return u.Name == name })
		if name == "" || at < 0 {
			out.Write(line)
			continue
		}
		written[name] = true
		out.WriteString(set[at].String() + "\n")
	}
	for _, user := range set {
		if written[user.Name] {
			continue
		}
		if out.Len() > 0 && !bytes.HasSuffix(out.Bytes(), []byte("\n")) {
			out.WriteByte('\n')
		}
		out.WriteString(user.String() + "\n")
	}
	if _, err := userNames(out.Bytes()); err != nil {
		return nil, fmt.Errorf("check the new file: %w", err)
	}
	return out.Bytes(), nil
}

// userNames lists the users of a file in order.
func userNames(content []byte) ([]string, error) {
	var names []string
	number := 0
	for line := range bytes.Lines(content) {
		number++
		name, problem := readUser(line)
		if problem != "" {
			return nil, &badLineError{number, problem}
		}
		if name == "" {
			continue
		}
		if slices.Contains(names, name) {
			return nil, &badLineError{number, "names a user that is there already"}
		}
		names = append(names, name)
	}
	return names, nil
}

// readUser reads one line the way rest-server does (comma-separated values with
// colons). The name is empty for a comment and an empty line.
func readUser(line []byte) (name, problem string) {
	text := strings.TrimRight(string(line), "\r\n")
	if text == "" || strings.HasPrefix(text, "#") {
		return "", ""
	}
	name, hash, found := strings.Cut(text, ":")
	switch {
	case !found:
		return "", "has no colon"
	case name == "":
		return "", "has no user name"
	case strings.Trim(name, userLetters) != "":
		return "", "has a user name with other letters than rest-server allows"
	case hash == "":
		return "", "has no password"
	case strings.Contains(hash, ":"):
		return "", "has more than one colon"
	}
	for _, b := range []byte(hash) {
		if b <= ' ' || b >= 0x7f || b == '"' {
			return "", "has a character in its password that rest-server can't read"
		}
	}
	if !strings.HasPrefix(hash, "$2") && !strings.HasPrefix(hash, "{SHA}") {
		return "", "has a password in a form that rest-server does not know"
	}
	return name, ""
}

// userLetters are the letters of rest-server's user names.
const userLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._-"

// otherLines returns the lines that belong to none of the users, to prove that
// an edit left them alone.
func otherLines(content []byte, without func(name string) bool) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(content) {
		if name, _ := readUser(line); name == "" || !without(name) {
			lines = append(lines, bytes.TrimRight(line, "\n"))
		}
	}
	return lines
}
