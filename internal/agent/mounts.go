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
	for _, mount := range realMounts(mounts()) {
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

// mount is one file system in its place.
type mount struct{ point, kind string }

// The kernel's own file systems show no files of anybody's, and their sizes mean
// nothing. The passing ones hold files that are gone with the next start.
var (
	kernelKinds = []string{"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "securityfs", "debugfs", "tracefs", "pstore",
		"bpf", "mqueue", "hugetlbfs", "configfs", "fusectl", "autofs", "binfmt_misc", "rpc_pipefs", "nsfs", "efivarfs"}
	passingKinds = []string{"tmpfs", "ramfs", "squashfs"}
)

// realMounts lists the mount points of file systems that hold somebody's files.
func realMounts(all []mount) (points []string) {
	for _, m := range all {
		if !slices.Contains(kernelKinds, m.kind) && !slices.Contains(passingKinds, m.kind) {
			points = append(points, m.point)
		}
	}
	return points
}

// isKernels tells whether a path lies on one of the kernel's own file systems.
func isKernels(path string, all []mount) bool {
	nearest := mount{}
	for _, m := range all {
		if len(m.point) >= len(nearest.point) && (path == m.point || isBelow(path, m.point)) {
			nearest = m
		}
	}
	return slices.Contains(kernelKinds, nearest.kind)
}

// parseMounts reads the format of Linux's mountinfo (proc_pid_mountinfo(5)).
// Lines that it does not understand are passed over.
func parseMounts(mountinfo string) (all []mount) {
	for line := range strings.Lines(mountinfo) {
		before, after, found := strings.Cut(strings.TrimSpace(line), " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !found || len(fields) < 5 || len(rest) < 1 {
			continue
		}
		all = append(all, mount{point: unescapeMount(fields[4]), kind: rest[0]})
	}
	return all
}

// unescapeMount undoes the octal escapes of space, tab, new line and backslash.
func unescapeMount(text string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(text)
}
