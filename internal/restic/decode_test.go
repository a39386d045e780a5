package restic

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// seed reads lines that restic 0.19.1 printed.
func seed(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func seedLines(t testing.TB, name string) [][]byte {
	t.Helper()
	return bytes.Split(bytes.TrimSpace(seed(t, name)), []byte("\n"))
}

func TestDecodeRealLines(t *testing.T) {
	want := []message{
		new(statusMessage), new(statusMessage), new(ignoredMessage), new(BackupSummary), new(initializedMessage), new(ignoredMessage),
	}
	for i, line := range seedLines(t, "stdout.jsonl") {
		got, err := decodeMessage(line, allMessages())
		if err != nil || reflect.TypeOf(got) != reflect.TypeOf(want[i]) {
			t.Errorf("line %d is a %T, %v, want a %T", i, got, err, want[i])
		}
	}
	kinds := map[NoticeKind]int{}
	codes := map[int]int{}
	for _, line := range seedLines(t, "stderr.txt") {
		decoded, err := decodeStderr(line)
		if err != nil {
			kinds[newNotice(string(line)).Kind]++
		} else if body, ok := decoded.(*exitErrorMessage); ok {
			codes[body.Code]++
		}
	}
	wantKinds := map[NoticeKind]int{
		NoticeSourceMissing: 1, NoticeRetrying: 1, NoticeReached: 1, NoticeUnauthorized: 1, NoticeFull: 2, NoticeOther: 1,
	}
	if !reflect.DeepEqual(kinds, wantKinds) {
		t.Errorf("notices = %v, want %v", kinds, wantKinds)
	}
	if want := map[int]int{1: 1, 3: 1, 10: 1, 11: 1, 12: 1, 130: 1}; !reflect.DeepEqual(codes, want) {
		t.Errorf("exit codes = %v, want %v", codes, want)
	}
	for code := range codes {
		if _, ok := exitCodes[ExitCode(code)]; !ok {
			t.Errorf("the table of exit codes lacks %d", code)
		}
	}
	snapshots, err := decodeSnapshots(bytes.NewReader(seed(t, "snapshots.json")))
	if err != nil || len(snapshots) != 2 || snapshots[1].Parent != snapshots[0].ID || snapshots[0].Summary.FilesNew != 1 {
		t.Errorf("snapshots = %+v, %v", snapshots, err)
	}
	lock, err := decodeLock(bytes.NewReader(seed(t, "lock.json")))
	if err != nil || lock.PID != 7215 || lock.UID != 1000 || lock.Exclusive {
		t.Errorf("lock = %+v, %v", lock, err)
	}
}

// TestVSSFallback has restic's words from fs_local_vss.go, which only Windows prints.
func TestVSSFallback(t *testing.T) {
	record := newRecord(Call{})
	record.stderr([]byte(`{"message_type":"error","error":{"message":"failed to create snapshot for [c:\\]: VSS error"},"during":"archival","item":"c:\\"}`), false)
	record.stderr([]byte(`error: failed to create snapshot for [d:\]: access denied`), false)
	result := record.finish()
	if result.ItemErrorCount != 0 || len(result.Notices) != 2 || result.Notices[0].Kind != NoticeVSSFallback ||
		result.Notices[0].Path != `c:\` || result.Notices[1].Path != `d:\` {
		t.Errorf("result = %+v", result)
	}
}

func TestReadLines(t *testing.T) {
	long := strings.Repeat("x", MaxLine)
	type got struct {
		length int
		cut    bool
	}
	for name, test := range map[string]struct {
		input string
		want  []got
	}{
		"nothing":         {"", nil},
		"no end":          {"abc", []got{{3, false}}},
		"CRLF and blanks": {"abc\r\n\n\nde\n", []got{{3, false}, {2, false}}},
		"exactly full":    {long + "\nab\n", []got{{MaxLine, false}, {2, false}}},
		"one too many":    {long + "x\nab\n", []got{{MaxLine, true}, {2, false}}},
		"far too long":    {long + long + long + "\nab", []got{{MaxLine, true}, {2, false}}},
	} {
		var lines []got
		err := readLines(strings.NewReader(test.input), func(line []byte, cut bool) { lines = append(lines, got{len(line), cut}) })
		if err != nil || !reflect.DeepEqual(lines, test.want) {
			t.Errorf("%s: %v, %v, want %v", name, lines, err, test.want)
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	if _, err := decodeConfig(strings.NewReader(`{"id":"` + strings.Repeat("x", 2*MaxLine))); !errors.Is(err, errOutputTooLarge) {
		t.Errorf("decodeConfig = %v", err)
	}
}

// allMessages has what any command prints on stdout; the summary is that of a backup.
func allMessages() vocabulary {
	all := vocabulary{}
	for _, known := range []vocabulary{checkMessages, diffMessages, lsMessages, initMessages, backupMessages} {
		maps.Copy(all, known)
	}
	return all
}

func FuzzDecodeStdout(f *testing.F) {
	for _, line := range seedLines(f, "stdout.jsonl") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		decoded, err := decodeMessage(line, allMessages())
		if (decoded == nil) == (err == nil) {
			t.Fatalf("decodeMessage = %v, %v", decoded, err)
		}
		if decoded, err := decodeMessage(line, checkMessages); (decoded == nil) == (err == nil) {
			t.Fatalf("of a check: %v, %v", decoded, err)
		}
		record := newRecord(Call{})
		if body, ok := decoded.(*statusMessage); ok {
			if progress := body.progress(record); progress.Done < 0 || progress.Done > 1 || progress.Remaining < 0 {
				t.Fatalf("progress = %+v", progress)
			}
		}
		if body, ok := decoded.(*BackupSummary); ok && body.sentence() == "" {
			t.Fatal("the summary has no sentence")
		}
	})
}

func FuzzDecodeStderr(f *testing.F) {
	for _, line := range seedLines(f, "stderr.txt") {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		record := newRecord(Call{Repository: Repository{Password: "a secret word"}})
		record.stderr(line, false)
		result := record.finish()
		if len(result.Message) > MaxText+100 || len(result.StderrTail) > 3*MaxStderrTail ||
			len(result.Notices) > MaxNotices || len(result.ItemErrors) > MaxItemErrors {
			t.Fatalf("the result is not bounded: %+v", result)
		}
		if strings.Contains(result.Message+result.StderrTail, "a secret word") {
			t.Fatal("a secret came through")
		}
	})
}

func FuzzDecodeSnapshots(f *testing.F) {
	f.Add(seed(f, "snapshots.json"))
	f.Add([]byte("[]"))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		snapshots, err := decodeSnapshots(bytes.NewReader(data))
		for _, snapshot := range snapshots {
			if err == nil && !isID(snapshot.ID) {
				t.Fatalf("a snapshot with the id %q", snapshot.ID)
			}
		}
	})
}

func FuzzDecodeLock(f *testing.F) {
	f.Add(seed(f, "lock.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if lock, err := decodeLock(bytes.NewReader(data)); err == nil && lock.Time.IsZero() {
			t.Fatal("a lock without a time")
		}
	})
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(`{"version":2,"id":"b83c58ec0cbef55d30fc6c1bc457aa5bc9e96d63b784d6c94424fb0e424bc253","chunker_polynomial":"298cccd228c4cf"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if config, err := decodeConfig(bytes.NewReader(data)); err == nil && !isID(config.ID) {
			t.Fatal("a configuration without an id")
		}
	})
}

func FuzzDecodeIDs(f *testing.F) {
	f.Add([]byte("355dd74bbed79e54f3e3b3e945839da726eddc5a5e696038becd556d90b8ead4\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := decodeIDs(bytes.NewReader(data))
		for _, id := range ids {
			if err == nil && !isID(id) {
				t.Fatalf("%q is no id", id)
			}
		}
	})
}

func FuzzProcargsEnvironment(f *testing.F) {
	f.Add([]byte("\x02\x00\x00\x00/bin/restic\x00\x00\x00\x00restic\x00backup\x00RM_JOB_ID=1\x00A=b\x00\x00"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		variables, err := procargsEnvironment(raw)
		if err != nil && variables != nil {
			t.Fatal("an answer beside an error")
		}
	})
}

func TestProcargsEnvironment(t *testing.T) {
	raw := []byte("\x02\x00\x00\x00/bin/restic\x00\x00\x00\x00restic\x00RM_JOB_ID=argument\x00RM_JOB_ID=1\x00A=b\x00")
	variables, err := procargsEnvironment(raw)
	want := [][]byte{[]byte("RM_JOB_ID=1"), []byte("A=b"), {}}
	if err != nil || !reflect.DeepEqual(variables, want) {
		t.Errorf("procargsEnvironment = %q, %v, want %q", variables, err, want)
	}
	if _, err := procargsEnvironment([]byte("\xff\xff\xff\xff/bin/x\x00\x00a\x00")); err == nil {
		t.Error("more arguments than there are were believed")
	}
}
