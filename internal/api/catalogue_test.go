package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/restic-manager/restic-manager/internal/api"
)

var update = flag.Bool("update", false, "write docs/PROTOCOL.md, and golden files that are missing")

// TestGoldenFilesDecodeForEver: what an earlier version wrote is read without
// loss. A file is never changed; a field that is new needs a file of its version.
func TestGoldenFilesDecodeForEver(t *testing.T) {
	for _, info := range api.Catalogue {
		t.Run(info.Name, func(t *testing.T) {
			body := api.Empty(info.Name)
			frame, err := api.Encode(filledLike(body))
			if err != nil {
				t.Fatal(err)
			}
			golden(t, info.Name, frame, func(frame []byte) (any, error) {
				decoded, err := api.Decode(frame, direction(info))
				if err != nil {
					return nil, err
				}
				again, err := api.Encode(decoded)
				return json.RawMessage(again), err
			})
		})
	}
	for _, info := range api.RecordCatalogue {
		t.Run("record "+string(info.Kind), func(t *testing.T) {
			record, err := api.NewRecord(info.Kind, "01JZ0000000000000000000000", 1767323045000, filledLike(api.EmptyRecord(info.Kind)))
			if err != nil {
				t.Fatal(err)
			}
			record.Seq = 7
			raw, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "record-"+string(info.Kind), raw, func(raw []byte) (any, error) {
				var record api.Record
				if err := json.Unmarshal(raw, &record); err != nil {
					return nil, err
				}
				body, err := record.Decode()
				if err != nil {
					return nil, err
				}
				again, err := api.NewRecord(record.Kind, record.Job, record.At, body)
				again.Seq = record.Seq
				return again, err
			})
		})
	}
}

func direction(info api.MessageInfo) api.Direction {
	if info.Direction == api.Both {
		return api.Up
	}
	return info.Direction
}

// golden checks that all files of a name read back whole and that they hold all
// fields that current has.
func golden(t *testing.T, name string, current []byte, through func([]byte) (any, error)) {
	files, err := filepath.Glob(filepath.Join("testdata", name+".v*.json"))
	if err != nil {
		t.Fatal(err)
	}
	newest := filepath.Join("testdata", fmt.Sprintf("%s.v%d.json", name, api.Version))
	if _, err := os.Stat(newest); *update && errors.Is(err, os.ErrNotExist) {
		var text bytes.Buffer
		if err := json.Indent(&text, current, "", "  "); err != nil {
			t.Fatal(err)
		}
		text.WriteByte('\n')
		if err := os.WriteFile(newest, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		files = append(files, newest)
	}
	covered := map[string]bool{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		value, err := through(raw)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		again, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		kept := leaves(t, again)
		for path, text := range leaves(t, raw) {
			covered[path] = true
			if kept[path] != text {
				t.Errorf("%s: %s = %s reads as %s", file, path, text, kept[path])
			}
		}
	}
	for path := range leaves(t, current) {
		if !covered[path] {
			t.Errorf("no golden file of %s holds %s: raise the version, or run the test with -update before the first release of it", name, path)
		}
	}
}

// leaves lists every value of a JSON document by its path.
func leaves(t *testing.T, raw []byte) map[string]string {
	t.Helper()
	var document any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for key, inner := range value {
				walk(path+"."+key, inner)
			}
		case []any:
			for i, inner := range value {
				walk(fmt.Sprintf("%s[%d]", path, i), inner)
			}
		default:
			found[path] = fmt.Sprint(value)
		}
	}
	walk("", document)
	return found
}

func TestWrongDirectionIsRefused(t *testing.T) {
	for _, info := range api.Catalogue {
		frame, err := api.Encode(filledLike(api.Empty(info.Name)))
		if err != nil {
			t.Fatal(err)
		}
		for _, way := range []api.Direction{api.Up, api.Down} {
			body, err := api.Decode(frame, way)
			right := info.Direction == way || info.Direction == api.Both
			if right && (err != nil || !reflect.DeepEqual(body, filledLike(api.Empty(info.Name)))) {
				t.Errorf("%s, %s: %+v, %v", info.Name, way, body, err)
			}
			if !right && (!errors.Is(err, api.ErrDirection) || body != nil) {
				t.Errorf("%s, %s: %v, %v; want ErrDirection", info.Name, way, body, err)
			}
		}
	}
}

func TestUnknownTypeIsAnsweredWithUnsupported(t *testing.T) {
	long := strings.Repeat("é", 100)
	for given, want := range map[string]string{"dance": "dance", "": "", long: strings.Repeat("é", 32)} {
		body, err := api.Decode([]byte(`{"type":"`+given+`","body":{}}`), api.Up)
		answer, ok := body.(*api.Unsupported)
		if !errors.Is(err, api.ErrUnsupported) || !ok || answer.Type != want {
			t.Errorf("%q: %+v, %v", given, body, err)
			continue
		}
		frame, err := api.Encode(answer)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := api.Decode(frame, api.Down); err != nil || back.(*api.Unsupported).Type != want {
			t.Errorf("the answer reads as %+v, %v", back, err)
		}
	}
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	body, err := api.Decode([]byte(`{"type":"ack","body":{"journal_id":"j","cursor":7,"later":{"x":[1]}},"more":true}`), api.Down)
	if ack, ok := body.(*api.Ack); err != nil || !ok || ack.Cursor != 7 || ack.JournalID != "j" {
		t.Errorf("Decode = %+v, %v", body, err)
	}
}

func TestTooLongIsNotEncoded(t *testing.T) {
	if _, err := api.Encode(&api.Unsupported{Type: strings.Repeat("x", api.MaxFrame)}); err == nil {
		t.Error("a frame beyond the bound was made")
	}
	if _, err := api.NewRecord(api.RecordGap, "", 0, api.Gap{Reason: strings.Repeat("x", api.MaxRecordBody)}); err == nil {
		t.Error("a record beyond the bound was made")
	}
	long := api.Record{Kind: api.RecordGap, Body: []byte(`{"reason":"` + strings.Repeat("x", api.MaxRecordBody) + `"}`)}
	if _, err := long.Decode(); err == nil {
		t.Error("a record beyond the bound was read")
	}
	if _, err := api.Encode(new(api.Record)); err == nil {
		t.Error("a type that is no message was encoded")
	}
}

// TestCataloguesAreWhole: each name once, each with a sentence, none from the future.
func TestCataloguesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, info := range api.Catalogue {
		if seen[info.Name] || info.Sentence == "" || info.Since < 1 || info.Since > api.Version {
			t.Errorf("message %+v", info)
		}
		seen[info.Name] = true
	}
	for _, info := range api.RecordCatalogue {
		if seen["record "+string(info.Kind)] || info.Sentence == "" || info.Since < 1 || info.Since > api.Version {
			t.Errorf("record %+v", info)
		}
		seen["record "+string(info.Kind)] = true
	}
}

func FuzzDecode(f *testing.F) {
	for _, info := range api.Catalogue {
		frame, err := api.Encode(filledLike(api.Empty(info.Name)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame, true)
		f.Add(frame, false)
	}
	f.Add([]byte(`{"type":"records","body":null}`), true)
	f.Add([]byte(`[]`), false)
	f.Fuzz(func(t *testing.T, frame []byte, up bool) {
		way := api.Down
		if up {
			way = api.Up
		}
		body, err := api.Decode(frame, way)
		if err != nil && !errors.Is(err, api.ErrUnsupported) {
			if body != nil {
				t.Errorf("an error came with the body %+v", body)
			}
			return
		}
		again, err := api.Encode(body)
		if err != nil {
			if len(frame) > api.MaxFrame/8 {
				return // escapes made it too long
			}
			t.Fatalf("what was decoded can't be encoded: %v", err)
		}
		if back, err := api.Decode(again, way); err != nil || reflect.TypeOf(back) != reflect.TypeOf(body) {
			t.Errorf("%s decodes as %T, %v", again, back, err)
		}
	})
}

func FuzzRecordDecode(f *testing.F) {
	for _, info := range api.RecordCatalogue {
		record, err := api.NewRecord(info.Kind, "j", 1, filledLike(api.EmptyRecord(info.Kind)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(record.Kind), []byte(record.Body))
	}
	f.Add("dance", []byte(`{}`))
	f.Add("log", []byte(`null`))
	f.Add("log", []byte(nil))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		decoded, err := api.Record{Seq: 1, Kind: api.RecordKind(kind), Body: body}.Decode()
		if err != nil {
			if decoded != nil {
				t.Errorf("an error came with the body %+v", decoded)
			}
			return
		}
		if _, err := api.NewRecord(api.RecordKind(kind), "", 0, decoded); err != nil && len(body) < api.MaxRecordBody/8 {
			t.Errorf("what was decoded can't be encoded: %v", err)
		}
	})
}
