package agent

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const someHash = "$2a$04$abcdefghijklmnopqrstuuJ0Zu6l4oKXb6R4q1ffP1zPqUlnKQ6Pq"

func TestEditUsers(t *testing.T) {
	line := func(name string) string { return name + ":" + someHash + "\n" }
	fresh := userLine{"h2", strings.Replace(someHash, "abc", "xyz", 1)}
	tests := []struct {
		name   string
		before string
		set    []userLine
		remove []string
		after  string
		bad    int // the line that is refused
	}{
		{name: "first user", set: []userLine{fresh}, after: fresh.String() + "\n"},
		{name: "added at the end", before: line("h1"), set: []userLine{fresh}, after: line("h1") + fresh.String() + "\n"},
		{name: "no line end before", before: strings.TrimSuffix(line("h1"), "\n"), set: []userLine{fresh}, after: line("h1") + fresh.String() + "\n"},
		{name: "replaced in its place", before: line("h1") + line("h2") + line("h3"), set: []userLine{fresh}, after: line("h1") + fresh.String() + "\n" + line("h3")},
		{name: "removed", before: line("h1") + line("h2") + line("h3"), remove: []string{"h2"}, after: line("h1") + line("h3")},
		{name: "remove one that is not there", before: line("h1"), remove: []string{"h2"}, after: line("h1")},
		{name: "a name within a name", before: line("h22"), remove: []string{"h2"}, after: line("h22")},
		{name: "comments, empty lines and DOS ends stay", before: "# users\r\n\r\nh1:{SHA}abc=\r\n", set: []userLine{fresh}, after: "# users\r\n\r\nh1:{SHA}abc=\r\n" + fresh.String() + "\n"},
		{name: "no colon", before: line("h1") + "oops\n", set: []userLine{fresh}, bad: 2},
		{name: "two colons", before: "h1:" + someHash + ":x\n", set: []userLine{fresh}, bad: 1},
		{name: "no hash", before: line("h1") + "\n" + "h3:\n", set: []userLine{fresh}, bad: 3},
		{name: "no name", before: ":" + someHash + "\n", remove: []string{"h2"}, bad: 1},
		{name: "a quote", before: "\"h1:" + someHash + "\n", set: []userLine{fresh}, bad: 1},
		{name: "a plain password", before: "h1:secret\n", set: []userLine{fresh}, bad: 1},
		{name: "a space before", before: " h1:" + someHash + "\n", set: []userLine{fresh}, bad: 1},
		{name: "the same user twice", before: line("h1") + line("h1"), set: []userLine{fresh}, bad: 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			after, err := editUsers([]byte(test.before), test.set, test.remove)
			var bad *badLineError
			if test.bad != 0 {
				if !errors.As(err, &bad) || bad.Line != test.bad || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), someHash) {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil || string(after) != test.after {
				t.Errorf("after = %q, %v", after, err)
			}
		})
	}
	for _, user := range []userLine{{"a:b", someHash}, {"a\nb", someHash}, {"", someHash}, {"a", ""}, {"a", someHash + "\nb:" + someHash}, {"#a", someHash}} {
		if after, err := editUsers(nil, []userLine{user}, nil); err == nil {
			t.Errorf("line of %q was written: %q", user.Name, after)
		}
	}
}

func FuzzHtpasswd(f *testing.F) {
	f.Add([]byte("h1:"+someHash+"\n"), "h2")
	f.Add([]byte("# a\r\n\n\"\n:\n"), "h1")
	f.Fuzz(func(t *testing.T, before []byte, name string) {
		user := userLine{name, someHash}
		after, err := editUsers(before, []userLine{user}, nil)
		if err != nil {
			return
		}
		if _, err := userNames(after); err != nil {
			t.Fatalf("the new file is bad: %v", err)
		}
		is := func(other string) bool { return other == name }
		if !bytes.Equal(bytes.Join(otherLines(before, is), []byte("\n")), bytes.Join(otherLines(after, is), []byte("\n"))) {
			t.Fatalf("other lines changed: %q to %q", before, after)
		}
		gone, err := editUsers(after, nil, []string{name})
		if err != nil || bytes.Contains(append([]byte("\n"), gone...), []byte("\n"+user.String())) {
			t.Fatalf("not removed: %q, %v", gone, err)
		}
	})
}
