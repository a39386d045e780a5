package agent

import (
	"slices"
	"testing"
)

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 8:2 / /home rw shared:2 - ext4 /dev/sda2 rw
25 24 0:40 / /home/ann/usb\040stick rw - vfat /dev/sdb1 rw
26 22 0:41 / /homestead rw - xfs /dev/sdc rw
not a line
27 22 0:42 / /home/cache rw master:1 - tmpfs tmpfs rw
`

func TestParseMounts(t *testing.T) {
	all := parseMounts(mountinfo)
	want := []string{"/", "/home", "/home/ann/usb stick", "/homestead"}
	if got := realMounts(all); !slices.Equal(got, want) {
		t.Errorf("real mounts = %q, want %q", got, want)
	}
	for path, want := range map[string]bool{"/proc": true, "/proc/kcore": true, "/procedure": false, "/home/cache/x": false, "/": false} {
		if got := isKernels(path, all); got != want {
			t.Errorf("isKernels(%q) = %v", path, got)
		}
	}
}

func TestIsBelow(t *testing.T) {
	for _, c := range []struct {
		path, folder string
		want         bool
	}{
		{"/home", "/", true}, {"/home/ann", "/home/", true}, {"/home", "/home", false}, {"/homestead", "/home", false}, {"/", "/", false},
	} {
		if got := isBelow(c.path, c.folder); got != c.want {
			t.Errorf("isBelow(%q, %q) = %v", c.path, c.folder, got)
		}
	}
}

// TestMountsOfThisMachine: the root is mounted everywhere.
func TestMountsOfThisMachine(t *testing.T) {
	if found := mounts(); len(found) == 0 {
		t.Skip("this system does not say what is mounted")
	}
	for _, finding := range skippedMounts([]string{"/"}, []string{"/"}) {
		t.Errorf("an excluded mount was found: %s", finding.Path)
	}
}

func FuzzParseMounts(f *testing.F) {
	f.Add(mountinfo)
	f.Fuzz(func(_ *testing.T, text string) { parseMounts(text) })
}
