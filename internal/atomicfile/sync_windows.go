package atomicfile

// SyncDir has nothing to do: NTFS journals names itself and gives no handle
// that could flush a folder.
func SyncDir(string) error { return nil }
