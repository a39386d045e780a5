package agent

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/restic-manager/restic-manager/internal/job"
)

// skippedMounts names what is mounted below a source and so left out by "one
// file system". A mount that is a source itself, or excluded by its own path,
// is meant; so are the kernel's own file systems.
func skippedMounts(includes, excludes []string) []job.Finding {
	var findings []job.Finding
	for _, mount := range mounts() {
		below := slices.ContainsFunc(includes, func(path string) bool { return isBelow(mount, path) })
		meant := slices.Contains(includes, mount) || slices.ContainsFunc(excludes, func(path string) bool {
			return path == mount || isBelow(mount, path)
		})
		if below && !meant {
			findings = append(findings, job.Finding{Kind: job.MountSkipped, Path: mount,
				Detail: "is a file system of its own and was left out, as the group's options say; add it to the sources or to the exclusions"})
		}
	}
	return findings
}

func isBelow(path, folder string) bool {
	folder = strings.TrimRight(filepath.Clean(folder), "/")
	return path != "/" && strings.HasPrefix(path, folder+"/")
}

// virtual are file systems that hold no files of anybody's.
var virtual = []string{"proc", "sysfs", "devtmpfs", "devpts", "tmpfs", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "pstore",
	"bpf", "mqueue", "hugetlbfs", "configfs", "fusectl", "autofs", "binfmt_misc", "rpc_pipefs", "nsfs", "efivarfs", "ramfs", "squashfs"}

// parseMounts reads the mount points of real file systems from the format of
// Linux's mountinfo (proc_pid_mountinfo(5)). Lines that it does not understand
// are passed over.
func parseMounts(mountinfo string) []string {
	var points []string
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(rest) < 1 || slices.Contains(virtual, rest[0]) {
			continue
		}
		points = append(points, unescapeMount(fields[4]))
	}
	return points
}

// unescapeMount undoes the octal escapes of space, tab, new line and backslash.
func unescapeMount(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
