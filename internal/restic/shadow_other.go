//go:build !windows

package restic

// shadowCopyFlags are none: restic knows volume shadow copies on Windows only.
var shadowCopyFlags []string
