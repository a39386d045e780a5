package restic

// shadowCopyFlags let restic read from a volume shadow copy.
var shadowCopyFlags = []string{"--use-fs-snapshot"}
