package control

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/restic-manager/restic-manager/internal/fleet"
)

var (
	sealing   = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	checking  = ed25519.PublicKey(sealing[ed25519.SeedSize:])
	sealStart = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
)

func chainEntries(n int) []fleet.AuditEntry {
	var entries []fleet.AuditEntry
	for i := range n {
		entries = append(entries, fleet.AuditEntry{ID: fmt.Sprintf("%026d", i), At: sealStart.Add(time.Duration(i) * time.Second), Actor: "ann",
			Action: "host.changed", Noun: "host", Subject: "H", Detail: `{"a":1}`, Address: "192.0.2.1"})
	}
	return entries
}

// eachField calls check once for every field of value, with that one changed.
func eachField(t *testing.T, pointer any, check func(field string)) {
	t.Helper()
	v := reflect.ValueOf(pointer).Elem()
	for i := range v.NumField() {
		field := v.Field(i)
		before := reflect.New(field.Type()).Elem()
		before.Set(field)
		switch value := field.Addr().Interface().(type) {
		case *string:
			*value += "x"
		case *int:
			*value++
		case *int64:
			*value++
		case *time.Time:
			*value = value.Add(time.Millisecond)
		case *[]byte:
			*value = append(slices.Clone(*value), 1)
		default:
			t.Fatalf("a field of type %s: say here how it changes", field.Type())
		}
		check(v.Type().Field(i).Name)
		field.Set(before)
	}
}

// TestEveryColumnIsSealed fails for a column that is added and not bound.
func TestEveryColumnIsSealed(t *testing.T) {
	entries := chainEntries(3)
	seal := newSeal(fleet.AuditSeal{}, entries, sealStart, sealing)
	if problem := checkSeal(fleet.AuditSeal{}, seal, checking) + checkEntries(seal, entries); problem != "" {
		t.Fatalf("what is whole is called broken: %s", problem)
	}
	eachField(t, &entries[1], func(field string) {
		if found := checkEntries(seal, entries) != ""; found == (field == "Seal") {
			t.Errorf("%s: found %v", field, found)
		}
	})
	eachField(t, &seal, func(field string) {
		if checkSeal(fleet.AuditSeal{}, seal, checking) == "" {
			t.Errorf("a seal with another %s passes", field)
		}
	})
}

func TestBrokenChainsAreFound(t *testing.T) {
	entries := chainEntries(4)
	one := newSeal(fleet.AuditSeal{}, entries[:2], sealStart, sealing)
	two := newSeal(one, entries[2:], sealStart.Add(time.Minute), sealing)
	other := newSeal(fleet.AuditSeal{}, entries[:1], sealStart, sealing)
	stranger := newSeal(one, entries[2:], sealStart.Add(time.Minute), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)))
	for name, test := range map[string]struct{ got, want string }{
		"whole":           {checkSeal(one, two, checking) + checkEntries(two, entries[2:]), ""},
		"missing seal":    {checkSeal(fleet.AuditSeal{}, two, checking), "Seal 1 is missing"},
		"other history":   {checkSeal(other, two, checking), "does not follow"},
		"foreign key":     {checkSeal(one, stranger, checking), "not signed by this server"},
		"removed":         {checkEntries(one, entries[:1]), "were removed: 1 are there"},
		"all removed":     {checkEntries(one, nil), "were removed: 0 are there"},
		"added":           {checkEntries(one, entries[:3]), "there are more"},
		"replaced first":  {checkEntries(one, entries[1:3]), "was replaced"},
		"another order":   {checkEntries(one, []fleet.AuditEntry{entries[1], entries[0]}), "was replaced"},
		"another's batch": {checkEntries(one, entries[2:]), "was replaced"},
	} {
		if test.want == "" && test.got != "" || !strings.Contains(test.got, test.want) {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
}

// FuzzDigest: two different lists of entries never have one digest. The input is
// cut into fields twice, at places of its own choice.
func FuzzDigest(f *testing.F) {
	f.Add([]byte("annhost.changed"), []byte{3, 1, 0, 2}, []byte{2, 2, 0, 2})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 'a'}, []byte{8, 1}, []byte{0, 9})
	f.Fuzz(func(t *testing.T, text, cuts, others []byte) {
		first, second := cutUp(text, cuts), cutUp(text, others)
		same := bytes.Equal(digestEntries(first), digestEntries(second))
		if same != reflect.DeepEqual(first, second) {
			t.Errorf("%+v and %+v: one digest %v", first, second, same)
		}
	})
}

// cutUp fills entries with pieces of text, one after the other; cuts are the
// lengths of the pieces.
func cutUp(text, cuts []byte) []fleet.AuditEntry {
	var entries []fleet.AuditEntry
	for len(cuts) > 0 {
		var e fleet.AuditEntry
		for _, column := range []*string{&e.ID, &e.Actor, &e.Action, &e.Noun, &e.Subject, &e.Detail, &e.Address} {
			if len(cuts) == 0 {
				break
			}
			n := min(int(cuts[0]), len(text))
			*column, text, cuts = string(text[:n]), text[n:], cuts[1:]
		}
		if len(text) >= 8 && len(cuts) > 0 && cuts[0]%2 == 0 {
			e.At = time.UnixMilli(int64(binary.BigEndian.Uint64(text)>>20) + 1)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestDiffering(t *testing.T) {
	type inner struct {
		Down int `json:"down"`
		Up   int `json:"up"`
	}
	type thing struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
		In   inner    `json:"in"`
		Size int64    `json:"size"`
	}
	detail := func(before, after any) string {
		old, err := fieldsOf(before)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := fieldsOf(after)
		if err != nil {
			t.Fatal(err)
		}
		old, fresh = differing(old, fresh)
		return fmt.Sprint(old, fresh)
	}
	big := int64(1)<<62 + 1
	was := thing{"a", []string{"x"}, inner{1, 2}, big}
	for _, test := range []struct {
		after any
		want  string
	}{
		{was, "map[] map[]"},
		{thing{"b", []string{"x"}, inner{1, 2}, big}, "map[name:a] map[name:b]"},
		{thing{"a", []string{"x", "y"}, inner{1, 3}, big}, "map[in:map[up:2] tags:[x]] map[in:map[up:3] tags:[x y]]"},
		{thing{"a", []string{"x"}, inner{1, 2}, big + 1}, fmt.Sprintf("map[size:%d] map[size:%d]", big, big+1)},
		{map[string]any{"name": "a", "tags": []string{"x"}, "in": inner{1, 2}, "size": big, "more": map[string]int{"n": 1}}, "map[] map[more:map[n:1]]"},
	} {
		if got := detail(was, test.after); got != test.want {
			t.Errorf("%+v: %s, want %s", test.after, got, test.want)
		}
	}
}
