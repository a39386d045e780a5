package agent

import (
	"os"
	"path/filepath"
)

// Where an agent that was told nothing keeps its state and finds its policy.
var (
	DefaultDir        = filepath.Join(programData(), "restic-manager-agent")
	DefaultPolicyFile = filepath.Join(DefaultDir, "policy.yaml")
)

func programData() string {
	if dir := os.Getenv("ProgramData"); dir != "" {
		return dir
	}
	return `C:\ProgramData`
}
