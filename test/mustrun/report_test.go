package main

import (
	"slices"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	const pkg = module + "p"
	events := strings.ReplaceAll(`
{"Action":"start","Package":"MODULEp"}
{"Action":"output","Package":"MODULEp","Test":"TestGood","Output":"=== RUN TestGood\n"}
{"Action":"pass","Package":"MODULEp","Test":"TestGood"}
{"Action":"output","Package":"MODULEp","Test":"TestSkips","Output":"not here\n"}
{"Action":"skip","Package":"MODULEp","Test":"TestSkips"}
{"Action":"output","Package":"MODULEp","Test":"TestBad","Output":"=== RUN   TestBad\n"}
{"Action":"output","Package":"MODULEp","Test":"TestBad","Output":"bad_test.go:7: wrong\n"}
{"Action":"fail","Package":"MODULEp","Test":"TestBad"}
{"Action":"output","Package":"MODULEp","Test":"TestCut","Output":"panic: oh\n"}
{"Action":"output","Package":"MODULEp","Output":"PASS\n"}
{"Action":"output","Package":"MODULEp","Output":"FAIL\tMODULEp\t0.1s\n"}
{"Action":"fail","Package":"MODULEp"}
{"Action":"build-output","ImportPath":"Q","Output":"q.go:1: undefined\n"}
`, "MODULE", module)

	var output strings.Builder
	report := newReport(&output)
	if err := report.read(strings.NewReader(events)); err != nil {
		t.Fatal(err)
	}
	want := "bad_test.go:7: wrong\npanic: oh\nFAIL\t" + pkg + "\t0.1s\nq.go:1: undefined\n"
	if output.String() != want {
		t.Errorf("printed\n%s\nwant\n%s", output.String(), want)
	}
	wanted := []test{{pkg, "TestGood"}, {pkg, "TestSkips"}, {pkg, "TestBad"}, {pkg, "TestGone"}}
	if got := report.missing(wanted); !slices.Equal(got, []test{{pkg, "TestSkips"}, {pkg, "TestGone"}}) {
		t.Errorf("missing %v", got)
	}
}

func TestListNamesTestsOnce(t *testing.T) {
	list, err := readList("../must-run.txt")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[test]bool{}
	for _, entry := range list {
		if seen[entry] {
			t.Errorf("%s is listed twice", entry)
		}
		seen[entry] = true
	}
	if len(list) == 0 {
		t.Error("the list is empty")
	}
}
